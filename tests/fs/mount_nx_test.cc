// Layout nx without a kernel and without nx: rows come after names and go before them, in every order of events.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "store/base/io.h"
#include "store/index/sqlite.h"
#include "tests/fs/mount_nx_fixture.h"
#include "tests/support/process.h"

namespace hitfs::fs {
namespace {

TEST_F(MountNxTest, WhatIsHereHasARowInTheVeryFirstRun) {
  entry("1");
  entry("22");
  EXPECT_EQ(rows(), (Rows{"1:0", "22:0"}));
}

TEST_F(MountNxTest, WhatComesLaterGetsItsRow) {
  EXPECT_EQ(rows(), Rows{});
  entry("1");
  EXPECT_EQ(rows(), (Rows{"1:0"}));
}

TEST_F(MountNxTest, LinksLeadIntoThePrivateFolderAndComeBack) {
  for (const char* name : {"shared-v6.db", "shared.db", "shared-v6.lock"}) {
    auto link = mount.lookup(kRootNumber, name);
    ASSERT_TRUE(link) << name;
    EXPECT_EQ(*mount.read_link(link->attributes.number), (folder() / name).string());
    EXPECT_EQ(mount.lookup(kRootNumber, name)->attributes.number, link->attributes.number);
    ASSERT_TRUE(mount.unlink(kRootNumber, name));
    ASSERT_TRUE(mount.lookup(kRootNumber, name)) << name;
  }
  begin_build();
  EXPECT_TRUE(std::filesystem::is_directory(folder() / "workspaces/24.0.6-0123456789abcdef"));
}

TEST_F(MountNxTest, UnlinkingADatabaseRemovesItAndTheNextOneIsFilled) {
  entry("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  ASSERT_TRUE(mount.lookup(kRootNumber, "shared-v6.db"));
  ASSERT_TRUE(mount.unlink(kRootNumber, "shared-v6.db"));
  EXPECT_FALSE(std::filesystem::exists(shared()));
  EXPECT_EQ(rows(), (Rows{"1:0"}));
}

TEST_F(MountNxTest, RowsGoBeforeAFileOfTheirEntry) {
  auto made = entry("1", {{"dist/f", "bytes"}, {"dist/g", "more"}});
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  auto dist = mount.number_at("1/dist");
  ASSERT_TRUE(mount.unlink(dist, "f"));
  EXPECT_EQ(rows(), Rows{}) << "and none comes back while something of it is gone";
  mount.restart();
  EXPECT_EQ(rows(), Rows{}) << "nor with the next worker";
}

TEST_F(MountNxTest, ARowThatCannotGoKeepsItsFile) {
  entry("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  auto dist = mount.number_at("1/dist");
  auto busy = std::move(sqlite::Database::open(shared(), sqlite::Access::read_write, Milliseconds(100)).value());
  {
    auto held = sqlite::Transaction::begin(*busy);
    ASSERT_TRUE(held);
    EXPECT_EQ(mount.unlink(dist, "f").error(), FsError::busy);
  }
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes");
  EXPECT_EQ(nx_rows(shared()), (Rows{"1:0"}));
  EXPECT_TRUE(mount.unlink(dist, "f"));
  EXPECT_EQ(nx_rows(shared()), Rows{});
}

TEST_F(MountNxTest, RowsOfNxsOwnDatabaseGoToo) {
  entry("1");
  begin_build();
  auto own = folder() / "workspaces/24.0.6-0123456789abcdef/machine-v6.db";
  make_nx_database(own, NxShape::with_mark);
  add_nx_row(own, "1", 0);
  add_nx_row(own, "2", 0);
  ASSERT_TRUE(mount.unlink(mount.number_at("1/dist"), "f"));
  EXPECT_EQ(nx_rows(own), (Rows{"2:0"}));
}

TEST_F(MountNxTest, ARetiredEntryIsShownUntilItsRowIsGoneAndAWhileLonger) {
  auto made = entry("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  mount.store.retire(made.id);
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes") << "its row is there";
  mount.event(DaemonEvent::Kind::retired, made.key, made.id);
  EXPECT_EQ(rows(), Rows{});
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes") << "nx may have read the row a moment before";
  EXPECT_TRUE(mount.fs().take_released().empty());
  mount.clock.advance(std::chrono::seconds(31));
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{made.id});
  EXPECT_EQ(mount.number_at("1/dist/f"), 0u);
}

TEST_F(MountNxTest, AnEntryThatReplacesAnotherKeepsTheRow) {
  auto old = entry("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  std::optional<Entry> retired;
  auto made = mount.store.commit(nx_key("1"), {{"dist/f", "other"}}, &retired);
  mount.event(DaemonEvent::Kind::retired, old.key, old.id);
  mount.event(DaemonEvent::Kind::committed, made.key, made.id);
  EXPECT_EQ(rows(), (Rows{"1:0"}));
  EXPECT_EQ(*mount.read_at("1/dist/f"), "other");
}

TEST_F(MountNxTest, WhatWasRetiredWhileNoWorkerLivedHasNoRowBeforeTheNextOneServes) {
  auto gone = entry("1");
  entry("2");
  ASSERT_EQ(rows(), (Rows{"1:0", "2:0"}));
  auto own = folder() / "workspaces/24.0.6-0123456789abcdef/machine-v6.db";
  make_nx_database(own, NxShape::with_mark);
  for (const char* hash : {"1", "2", "3"}) add_nx_row(own, hash, 0);
  mount.stop();
  mount.store.retire(gone.id);
  mount.start();
  EXPECT_EQ(nx_rows(shared()), (Rows{"2:0"})) << "no request was served yet";
  EXPECT_EQ(nx_rows(own), (Rows{"2:0"}));
}

TEST_F(MountNxTest, AWorkerThatIsKilledInTheMiddleOfAnEvictionLeavesTheFilesToWhoReadTheRow) {
  auto gone = entry("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  mount.store.retire(gone.id);
  mount.restart();
  EXPECT_EQ(nx_rows(shared()), Rows{}) << "no request was served yet";
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes") << "no event has come yet";
  EXPECT_TRUE(mount.fs().take_released().empty());
  mount.event(DaemonEvent::Kind::retired, gone.key, gone.id);
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes");
  EXPECT_TRUE(mount.fs().take_released().empty());
  mount.clock.advance(std::chrono::seconds(31));
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{gone.id});
  EXPECT_EQ(mount.number_at("1/dist/f"), 0u);
  EXPECT_EQ(rows(), Rows{});
}

TEST_F(MountNxTest, WhatWasRetiredAndReplacedWhileNoWorkerLivedIsNotShownAgain) {
  auto old = entry("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  mount.stop();
  mount.store.commit(nx_key("1"), {{"dist/f", "other"}});
  mount.start();
  EXPECT_EQ(*mount.read_at("1/dist/f"), "other");
  EXPECT_EQ(rows(), (Rows{"1:0"}));
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{old.id});
}

TEST_F(MountNxTest, ADatabaseThatCannotBeReadGoes) {
  entry("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  mount.stop();
  std::ofstream(shared(), std::ios::trunc) << std::string(8192, 'x');
  mount.start();
  EXPECT_EQ(rows(), (Rows{"1:0"})) << "a new one";
}

TEST_F(MountNxTest, TheTerminalOutputIsMadeAtItsLookupAndIsOnesOwn) {
  Entry made = mount.store.commit_with_output(nx_key("1"), {{"dist/f", "bytes"}}, "all went well\n");
  auto outputs = mount.make_directory(kRootNumber, "terminalOutputs")->attributes.number;
  EXPECT_EQ(mount.lookup(outputs, "2").error(), FsError::not_found);
  auto text = mount.lookup(outputs, "1");
  ASSERT_TRUE(text);
  EXPECT_EQ(*mount.read(text->attributes.number), "all went well\n");
  ASSERT_TRUE(mount.resize(text->attributes.number, 0));
  ASSERT_TRUE(mount.write(text->attributes.number, "all went well\n"));
  EXPECT_EQ(mount.fs().uncommitted(), 0u) << "rewriting makes nothing";
  mount.restart();
  EXPECT_EQ(*mount.read_at("terminalOutputs/1"), "all went well\n");
}

TEST_F(MountNxTest, BesideTursoNothingIsProjectedAndEverythingElseWorks) {
  begin_build();
  add_nx_row(shared(), "9", 0);
  std::ofstream(shared().string() + "-tshm") << "x";
  entry("1");
  EXPECT_EQ(rows(), (Rows{"9:0"}));
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes");
  ASSERT_TRUE(mount.unlink(mount.number_at("1/dist"), "f"));
  mount.restart();
  EXPECT_EQ(rows(), (Rows{"9:0"}));
  ASSERT_TRUE(mount.lookup(kRootNumber, "shared-v6.db"));
  ASSERT_TRUE(mount.unlink(kRootNumber, "shared-v6.db"));
  EXPECT_FALSE(std::filesystem::exists(shared()));
  entry("2");
  EXPECT_EQ(rows(), (Rows{"2:0"})) << "a new one is nobody's yet";
}

// What nx and its plugin do on a mount, step by step.
class NxStoreTest : public MountNxTest {
 protected:
  NxStoreTest() {
    mount.daemon.set_up(true);
    begin_build();
    outputs = mount.make_directory(kRootNumber, "terminalOutputs")->attributes.number;
  }
  void put() {
    auto top = mount.make_directory(kRootNumber, "1")->attributes.number;
    mount.write_file(top, "out", "result");
    mount.write_file(outputs, "1", "text");
  }
  void set_aside(pid_t pid = 0) {
    Pending<Ok> pending;
    mount.fs().rename({.pid = pid}, kRootNumber, "1", kRootNumber, "1-backup", Filesystem::RenameMode::replace,
                      pending.reply());
    ASSERT_TRUE(pending.get());
    ASSERT_TRUE(mount.make_directory(kRootNumber, "1"));
  }
  void put_back() {
    ASSERT_TRUE(mount.remove_directory(kRootNumber, "1"));
    ASSERT_TRUE(mount.rename(kRootNumber, "1-backup", kRootNumber, "1"));
  }
  Number outputs = 0;
};

TEST_F(NxStoreTest, BecomesAnEntryWithItsOutput) {
  put();
  set_aside();
  add_nx_row(shared(), "1", 0);
  put_back();
  mount.wait_until_committed();
  ASSERT_EQ(mount.store.visible().size(), 1u);
  auto stored = mount.store.visible().front();
  EXPECT_EQ(stored.key, nx_key("1"));
  auto header = (*mount.store.manifest(stored.id))->view().header();
  ASSERT_TRUE(header.terminal_output);
  EXPECT_EQ(*header.terminal_output, Digest::of(io::as_bytes("text")));
  EXPECT_EQ(rows(), (Rows{"1:0"}));
}

TEST_F(NxStoreTest, WhatWasStoredIsSeenAtOnce) {
  EXPECT_EQ(mount.number_at("1"), 0u);  // as the kernel asks before each step
  put();
  set_aside();
  add_nx_row(shared(), "1", 0);
  ASSERT_TRUE(mount.remove_directory(kRootNumber, "1"));
  EXPECT_EQ(mount.number_at("1"), 0u);
  ASSERT_TRUE(mount.rename(kRootNumber, "1-backup", kRootNumber, "1"));
  mount.wait_until_committed();
  ASSERT_EQ(mount.store.visible().size(), 1u);
  EXPECT_EQ(*mount.read_at("1/out"), "result");
}

TEST_F(NxStoreTest, TheNewestRowDecidesAndAFailureStaysHere) {
  make_nx_database(folder() / "shared.db", NxShape::with_version);
  add_nx_row(folder() / "shared.db", "1", 0, "2001-01-01 00:00:00");
  put();
  set_aside();
  add_nx_row(shared(), "1", 1, "2002-01-01 00:00:00");
  put_back();
  mount.wait_until_committed();
  EXPECT_TRUE(mount.store.visible().empty());
  EXPECT_EQ(*mount.read_at("1/out"), "result") << "for this machine it is there";
  EXPECT_EQ(mount.fs().uncommitted(), 0u) << "and nobody waits for it";
  mount.restart();
  mount.wait_until_committed();
  EXPECT_TRUE(mount.store.visible().empty());
}

TEST_F(NxStoreTest, WithoutARowNothingIsShared) {
  put();
  set_aside();
  put_back();
  mount.wait_until_committed();
  EXPECT_TRUE(mount.store.visible().empty());
  EXPECT_EQ(*mount.read_at("1/out"), "result");
}

TEST_F(NxStoreTest, BesideTursoNothingIsShared) {
  put();
  set_aside();
  add_nx_row(shared(), "1", 0);
  std::ofstream(shared().string() + "-tshm") << "x";
  put_back();
  mount.wait_until_committed();
  EXPECT_TRUE(mount.store.visible().empty());
  EXPECT_EQ(*mount.read_at("1/out"), "result");
}

TEST_F(NxStoreTest, TheStoresOwnRemovalsTakeNoRow) {
  put();
  auto own = folder() / "workspaces/24.0.6-0123456789abcdef/machine-v6.db";
  make_nx_database(own, NxShape::with_mark);
  add_nx_row(own, "1", 0);
  set_aside();
  add_nx_row(shared(), "1", 0);
  put_back();
  EXPECT_EQ(nx_rows(own), (Rows{"1:0"}));
  EXPECT_EQ(nx_rows(shared()), (Rows{"1:0"}));
}

TEST_F(NxStoreTest, ATreeOfThisMachineLosesItsRowsWithItsFiles) {
  put();
  auto own = folder() / "workspaces/24.0.6-0123456789abcdef/machine-v6.db";
  make_nx_database(own, NxShape::with_mark);
  add_nx_row(own, "1", 0);
  ASSERT_TRUE(mount.unlink(mount.number_at("1"), "out"));
  EXPECT_EQ(nx_rows(own), Rows{});
}

TEST_F(NxStoreTest, AnEntryFromElsewhereStandsInTheWayOfNoStep) {
  put();
  set_aside();
  auto other = entry("1", {{"out", "of another machine"}});
  EXPECT_EQ(mount.number_at("1/out"), 0u);
  add_nx_row(shared(), "1", 0);
  put_back();
  EXPECT_EQ(*mount.read_at("1/out"), "result");
  mount.wait_until_committed();
  EXPECT_GT(mount.store.visible().front().id, other.id);
  EXPECT_EQ(rows(), (Rows{"1:0"}));
}

TEST_F(NxStoreTest, AnEntryFromElsewhereIsNotThereBetweenTheLookForItsNameAndTheFolder) {
  EXPECT_EQ(mount.number_at("1"), 0u);  // the look
  auto other = entry("1", {{"out", "of another machine"}});
  EXPECT_EQ(rows(), Rows{});
  put();  // makes the folder, which would fail
  EXPECT_EQ(*mount.read_at("1/out"), "result");

  EXPECT_EQ(mount.number_at("2"), 0u);
  entry("2");
  mount.clock.advance(std::chrono::seconds(2));
  EXPECT_TRUE(mount.fs().take_released().empty());  // what a worker asks several times a second
  EXPECT_EQ(rows(), (Rows{"2:0"})) << "nobody stored it here";
  EXPECT_EQ(*mount.read_at("2/dist/f"), "bytes");
}

TEST_F(NxStoreTest, OfADeadProcessIsFinishedForIt) {
  put();
  testing::Process process({{"true"}, {}, {}});
  pid_t pid = process.pid();
  ASSERT_EQ(process.wait(Milliseconds(10'000)).code, 0);
  set_aside(pid);
  add_nx_row(shared(), "1", 0);
  EXPECT_TRUE(mount.fs().take_released().empty());  // what a worker asks several times a second
  EXPECT_EQ(*mount.read_at("1/out"), "result");
  EXPECT_EQ(mount.number_at("1-backup"), 0u);
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 1u);
}

TEST_F(NxStoreTest, OfALivingProcessIsLeftAlone) {
  put();
  set_aside(::getpid());
  EXPECT_TRUE(mount.fs().take_released().empty());
  EXPECT_NE(mount.number_at("1-backup"), 0u);
}

TEST_F(NxStoreTest, OfAMountBeforeIsFinishedBeforeTheNextOneServes) {
  put();
  set_aside(::getpid());
  mount.remount();
  EXPECT_EQ(*mount.read_at("1/out"), "result");
  EXPECT_EQ(mount.number_at("1-backup"), 0u);
}

}  // namespace
}  // namespace hitfs::fs
