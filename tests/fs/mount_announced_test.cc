// Layout nx: entries that a remote is known to have and that are not here. A row promises them only where a row without
// files is a miss.
#include <gtest/gtest.h>

#include "store/index/sqlite.h"
#include "tests/fs/mount_nx_fixture.h"

namespace hitfs::fs {
namespace {

constexpr const char* kOldWorkspace = ".nx-22.6.5-0123456789abcdef";

class MountAnnouncedTest : public MountNxTest {
 protected:
  MountAnnouncedTest() { mount.daemon.set_up(true); }

  void remote_has(const std::string& hash, const testing::TreeText& tree = {{"dist/f", "bytes"}}) {
    mount.daemon.remote_has(nx_key(hash), tree);
  }
  void announce(const std::string& hash) { mount.daemon.announce({nx_key(hash)}); }
  // The rows as they are, without waiting for the keeper.
  Rows rows_now() { return nx_rows(shared()); }
};

TEST_F(MountAnnouncedTest, IsPromisedByARowAndPulledAtItsLookup) {
  begin_build();
  remote_has("1");
  announce("1");
  EXPECT_EQ(rows(), (Rows{"1:0"}));
  EXPECT_EQ(mount.daemon.fetches(), 0u);
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes");
  EXPECT_EQ(mount.daemon.fetches(), 1u);
  EXPECT_EQ(rows(), (Rows{"1:0"}));
}

TEST_F(MountAnnouncedTest, IsInADatabaseThatIsMadeLater) {
  announce("1");
  entry("2");
  EXPECT_EQ(rows(), (Rows{"1:0", "2:0"}));
}

TEST_F(MountAnnouncedTest, IsInNoDatabaseWhereARowAloneIsAHit) {
  begin_build();
  make_nx_database(folder() / "shared.db", NxShape::with_version);
  make_nx_database(folder() / "shared-v2.db", NxShape::plain);
  make_nx_database(folder() / "shared-v4.db", NxShape::with_mark);
  entry("2");
  announce("1");
  EXPECT_EQ(rows(), (Rows{"1:0", "2:0"}));
  EXPECT_EQ(nx_rows(folder() / "shared-v4.db"), (Rows{"1:0", "2:0"}));
  for (const char* name : {"shared.db", "shared-v2.db"}) EXPECT_EQ(nx_rows(folder() / name), (Rows{"2:0"})) << name;
}

TEST_F(MountAnnouncedTest, NobodyIsAskedWhereNoRowPromisesIt) {
  ASSERT_TRUE(mount.lookup(kRootNumber, kOldWorkspace));
  remote_has("1");
  announce("1");
  ASSERT_TRUE(mount.lookup(kRootNumber, kOldWorkspace));
  EXPECT_EQ(mount.lookup(kRootNumber, "1").error(), FsError::not_found);
  EXPECT_EQ(mount.lookup(kRootNumber, "2").error(), FsError::not_found);
  EXPECT_EQ(mount.daemon.fetches(), 0u);
}

TEST_F(MountAnnouncedTest, WhatDoesNotComeIsAMissAndIsNotWaitedForAgain) {
  announce("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  EXPECT_EQ(mount.lookup(kRootNumber, "1").error(), FsError::not_found);
  EXPECT_EQ(rows_now(), Rows{}) << "before the answer: whoever builds now writes a row of its own";
  EXPECT_EQ(mount.lookup(kRootNumber, "1").error(), FsError::not_found);
  EXPECT_EQ(mount.daemon.fetches(), 1u);
  EXPECT_EQ(rows(), Rows{});
}

TEST_F(MountAnnouncedTest, WhatComesTooLateHasItsRowAgain) {
  remote_has("1");
  announce("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  mount.daemon.hold_fetches(true);
  Pending<NodeReply> pending;
  mount.fs().lookup({}, kRootNumber, "1", pending.reply());
  mount.clock.advance(std::chrono::seconds(3));
  EXPECT_EQ(pending.get().error(), FsError::not_found);
  EXPECT_EQ(rows(), Rows{});
  mount.daemon.hold_fetches(false);
  mount.daemon.answer_fetches();
  EXPECT_EQ(rows(), Rows{}) << "the tool may be about to store it itself";
  mount.clock.advance(std::chrono::seconds(2));
  EXPECT_TRUE(mount.fs().take_released().empty());  // what a worker asks several times a second
  EXPECT_EQ(rows(), (Rows{"1:0"}));
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes");
}

TEST_F(MountAnnouncedTest, AProgramThatIsInterruptedBreaksNoPromise) {
  remote_has("1");
  announce("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  mount.daemon.hold_fetches(true);
  Pending<NodeReply> pending;
  mount.fs().lookup({.unique = 7}, kRootNumber, "1", pending.reply());
  mount.fs().interrupt(7);
  EXPECT_EQ(pending.get().error(), FsError::interrupted);
  EXPECT_EQ(rows(), (Rows{"1:0"}));
  mount.daemon.hold_fetches(false);
  mount.daemon.answer_fetches();
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes");
}

// To whoever reads the row, what is half made would be the whole.
TEST_F(MountAnnouncedTest, NothingIsMadeUnderItsNameBeforeTheRowIsGone) {
  for (const char* hash : {"1", "2", "3"}) announce(hash);
  ASSERT_EQ(rows(), (Rows{"1:0", "2:0", "3:0"}));
  ASSERT_TRUE(mount.make_directory(kRootNumber, "1"));
  EXPECT_EQ(rows_now(), (Rows{"2:0", "3:0"}));
  ASSERT_TRUE(mount.make_directory(kRootNumber, "aside"));
  ASSERT_TRUE(mount.rename(kRootNumber, "aside", kRootNumber, "2"));
  EXPECT_EQ(rows_now(), (Rows{"3:0"}));
  auto busy = std::move(sqlite::Database::open(shared(), sqlite::Access::read_write, Milliseconds(100)).value());
  {
    auto held = sqlite::Transaction::begin(*busy);
    ASSERT_TRUE(held);
    EXPECT_EQ(mount.make_directory(kRootNumber, "3").error(), FsError::busy);
  }
  EXPECT_EQ(rows_now(), (Rows{"3:0"}));
  EXPECT_EQ(mount.number_at("3"), 0u);
  EXPECT_EQ(mount.daemon.fetches(), 1u);
}

TEST_F(MountAnnouncedTest, WhatComesWhileItsNameIsBeingMadeKeepsItsRows) {
  begin_build();
  auto old = folder() / "shared.db";
  make_nx_database(old, NxShape::with_version);
  announce("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  auto busy = std::move(sqlite::Database::open(shared(), sqlite::Access::read_write, Milliseconds(100)).value());
  Pending<NodeReply> pending;
  Entry made;
  {
    auto held = sqlite::Transaction::begin(*busy);
    ASSERT_TRUE(held);
    mount.fs().make_directory({}, kRootNumber, "1", 0755, pending.reply());
    made = entry("1");
  }
  EXPECT_EQ(pending.get().error(), FsError::exists);
  EXPECT_EQ(rows(), (Rows{"1:0"}));
  EXPECT_EQ(nx_rows(old), (Rows{"1:0"}));
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes");
  retire(made);
  EXPECT_EQ(rows(), Rows{});
  EXPECT_EQ(nx_rows(old), Rows{});
}

TEST_F(MountAnnouncedTest, WhatThisMachineMakesOrHidesIsNotPromised) {
  auto removed = entry("3");
  begin_build();
  ASSERT_TRUE(mount.make_directory(kRootNumber, "1"));
  ASSERT_TRUE(mount.make_directory(kRootNumber, "2-backup"));
  ASSERT_TRUE(mount.unlink(mount.number_at("3/dist"), "f"));
  for (const char* hash : {"1", "2", "3"}) announce(hash);
  EXPECT_EQ(rows(), Rows{});
}

TEST_F(MountAnnouncedTest, WhatCameAndIsNoHitLosesItsRow) {
  remote_has("1", {{"", "one file"}});
  announce("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  EXPECT_TRUE(mount.lookup(kRootNumber, "1"));
  EXPECT_EQ(rows(), Rows{}) << "nx wants a folder";
}

TEST_F(MountAnnouncedTest, TheRowsOfAWorkerBeforeAreGoneUntilTheDaemonIsAsked) {
  entry("2");
  announce("1");
  ASSERT_EQ(rows(), (Rows{"1:0", "2:0"}));
  mount.restart();
  EXPECT_EQ(rows_now(), (Rows{"2:0"})) << "no request was served yet";
  EventBatch batch;
  batch.reset = true;
  mount.fs().on_events(batch);
  EXPECT_EQ(rows(), (Rows{"1:0", "2:0"}));
}

TEST_F(MountAnnouncedTest, WithoutDaemonItIsAMiss) {
  remote_has("1");
  announce("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  mount.daemon.set_up(false);
  EXPECT_EQ(mount.lookup(kRootNumber, "1").error(), FsError::not_found);
  EXPECT_EQ(rows_now(), Rows{});
}

TEST_F(MountAnnouncedTest, WhatWasEvictedIsPromisedWhenItIsNoLongerShown) {
  auto gone = entry("1");
  remote_has("1");
  ASSERT_EQ(rows(), (Rows{"1:0"}));
  retire(gone);
  announce("1");
  EXPECT_EQ(rows(), Rows{}) << "still shown to those who read the row before";
  mount.clock.advance(std::chrono::seconds(31));
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{gone.id});
  EXPECT_EQ(rows(), (Rows{"1:0"}));
  EXPECT_EQ(*mount.read_at("1/dist/f"), "bytes");
}

}  // namespace
}  // namespace hitfs::fs
