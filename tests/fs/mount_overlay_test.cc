// What a program changes on entries: private to the mount, and the entry stays what it is.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "fs/numbers.h"
#include "fs/request_progress.h"
#include "store/base/io.h"
#include "tests/fs/mount_harness.h"

namespace hitfs::fs {
namespace {

const testing::TreeText kTree = {{"bin/tool", "binary"}, {"readme", "a long text"}, {"link@", "bin/tool"}};

class MountOverlayTest : public ::testing::Test {
 protected:
  MountOverlayTest() {
    entry = mount.store.commit(MountHarness::key("00aa"), kTree);
    mount.daemon.set_up(false);
  }
  // The entry as another mount sees it.
  void expect_untouched() {
    mount.remount();
    EXPECT_EQ(*mount.read_at("00aa/bin/tool"), "binary");
    EXPECT_EQ(*mount.read_at("00aa/readme"), "a long text");
    EXPECT_EQ(mount.list(entry.id).size(), 3u);
    EXPECT_EQ(mount.staged_files(), 0u) << "overlays end with the mount";
  }
  // rm -r
  void remove_all(Number parent, const std::string& name) {
    auto node = mount.lookup(parent, name);
    ASSERT_TRUE(node);
    Number number = node->attributes.number;
    if (node->attributes.type != FileType::directory) {
      ASSERT_TRUE(mount.unlink(parent, name));
    } else {
      for (const auto& child : mount.list(number)) remove_all(number, child);
      ASSERT_TRUE(mount.remove_directory(parent, name));
    }
    mount.fs().forget(number, 1);
  }

  MountHarness mount;
  Entry entry;
};

TEST_F(MountOverlayTest, AWriteCopiesUp) {
  Number number = mount.number_at("00aa/readme");
  ASSERT_TRUE(mount.write(number, "A"));
  EXPECT_EQ(*mount.read(number), "A long text");
  EXPECT_EQ(mount.attributes(number)->attributes.size, 11u);
  ASSERT_TRUE(mount.write(number, "!", 11));
  mount.restart();
  EXPECT_EQ(*mount.read(number), "A long text!");
  EXPECT_LE(mount.attributes(number)->timeout, std::chrono::seconds(60));
  expect_untouched();
}

TEST_F(MountOverlayTest, ACopyUpShowsThatItGetsOn) {
  Number number = mount.number_at("00aa/readme");
  std::atomic<int64_t> progress{0};
  request_progress = &progress;
  auto written = mount.write(number, "A");
  request_progress = nullptr;
  ASSERT_TRUE(written);
  EXPECT_GT(progress.load(), 0);
}

TEST_F(MountOverlayTest, ALongerFileRewrittenWithAShorterOneIsTheShorterOne) {
  Number number = mount.number_at("00aa/readme");
  ASSERT_TRUE(mount.resize(number, 0));
  EXPECT_EQ(*mount.read(number), "");
  ASSERT_TRUE(mount.write(number, "short"));
  EXPECT_EQ(*mount.read(number), "short");
  EXPECT_EQ(mount.attributes(number)->attributes.size, 5u);
  Number other = mount.number_at("00aa/bin/tool");
  ASSERT_TRUE(mount.resize(other, 3));
  EXPECT_EQ(*mount.read(other), "bin");
  expect_untouched();
}

TEST_F(MountOverlayTest, ModesAndTimesLandInTheOverlay) {
  Number number = mount.number_at("00aa/readme");
  ASSERT_TRUE(mount.set(number, {.mode = 0600, .mtime_ns = 99}));
  ASSERT_TRUE(mount.set(entry.id, {.mtime_ns = 1234}));
  mount.restart();
  EXPECT_EQ(mount.attributes(number)->attributes.mode, 0600);
  EXPECT_EQ(mount.attributes(number)->attributes.mtime_ns, 99);
  EXPECT_EQ(mount.attributes(entry.id)->attributes.mtime_ns, 1234);
  EXPECT_EQ(*mount.read(number), "a long text") << "and copy no bytes";
  EXPECT_EQ(mount.staged_files(), 0u);
  ASSERT_TRUE(mount.write(number, "x"));
  EXPECT_EQ(mount.attributes(number)->attributes.mode, 0600);
  ASSERT_TRUE(mount.set(number, {.mtime_ns = 100}));
  EXPECT_EQ(mount.attributes(number)->attributes.mtime_ns, 100);
  expect_untouched();
  EXPECT_EQ(mount.attributes(number)->attributes.mode, 0644);
}

TEST_F(MountOverlayTest, UnlinkOfAnEntryMeansNotHere) {
  Number inside = mount.number_at("00aa/readme");
  ASSERT_NO_FATAL_FAILURE(remove_all(kRootNumber, "00aa"));
  EXPECT_EQ(mount.lookup(kRootNumber, "00aa").error(), FsError::not_found);
  EXPECT_TRUE(mount.list(kRootNumber).empty());
  EXPECT_EQ(*mount.read(inside), "a long text") << "open files read on";
  mount.restart();
  EXPECT_EQ(mount.lookup(kRootNumber, "00aa").error(), FsError::not_found);
  EXPECT_EQ(mount.store.visible().size(), 1u) << "other mounts keep it";
  expect_untouched();
}

TEST_F(MountOverlayTest, AWhiteoutAsksNoRemote) {
  mount.daemon.set_up(true);
  mount.daemon.remote_has(MountHarness::key("00aa"), kTree);
  ASSERT_NO_FATAL_FAILURE(remove_all(kRootNumber, "00aa"));
  EXPECT_EQ(mount.lookup(kRootNumber, "00aa").error(), FsError::not_found);
  EXPECT_EQ(mount.daemon.fetches(), 0u);
}

TEST_F(MountOverlayTest, ANewerEntryEndsTheWhiteout) {
  ASSERT_NO_FATAL_FAILURE(remove_all(kRootNumber, "00aa"));
  auto newer = mount.store.commit(MountHarness::key("00aa"), {{"new", "x"}});
  mount.event(DaemonEvent::Kind::committed, newer.key, newer.id);
  EXPECT_EQ(mount.number_at("00aa"), newer.id);
  EXPECT_EQ(mount.list(kRootNumber), std::vector<std::string>{"00aa"});
}

TEST_F(MountOverlayTest, ARetiredEntrysNameMayComeBackFromARemote) {
  ASSERT_NO_FATAL_FAILURE(remove_all(kRootNumber, "00aa"));
  mount.store.retire(entry.id);
  mount.event(DaemonEvent::Kind::retired, entry.key, entry.id);
  mount.daemon.set_up(true);
  mount.daemon.remote_has(MountHarness::key("00aa"), kTree);
  EXPECT_EQ(*mount.read_at("00aa/readme"), "a long text");
}

TEST_F(MountOverlayTest, TheNameCanBeBuiltAgainAfterADeletion) {
  mount.daemon.set_up(true);
  ASSERT_NO_FATAL_FAILURE(remove_all(kRootNumber, "00aa"));
  Number top = mount.make_directory(kRootNumber, "00aa")->attributes.number;
  mount.write_file(top, "rebuilt", "x");
  EXPECT_EQ(mount.list(top), std::vector<std::string>{"rebuilt"});
  ASSERT_TRUE(mount.rename(kRootNumber, "00aa", kRootNumber, "00aa-backup"));
  EXPECT_EQ(mount.lookup(kRootNumber, "00aa").error(), FsError::not_found) << "the old one does not come back";
  ASSERT_TRUE(mount.rename(kRootNumber, "00aa-backup", kRootNumber, "00aa"));
  mount.wait_until_committed();
  EXPECT_EQ(mount.list(mount.number_at("00aa")), std::vector<std::string>{"rebuilt"});
}

TEST_F(MountOverlayTest, TheSameTreeBuiltAgainAfterADeletionIsWhole) {
  mount.daemon.set_up(true);
  auto build = [&] {
    Number top = mount.make_directory(kRootNumber, "tmp")->attributes.number;
    Number file = mount.write_file(top, "f", "same");
    ASSERT_TRUE(mount.set(file, {.mtime_ns = 7}));
    ASSERT_TRUE(mount.set(top, {.mtime_ns = 8}));
    ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00ab"));
    mount.wait_until_committed();
  };
  ASSERT_NO_FATAL_FAILURE(build());
  Number first = mount.number_at("00ab");
  ASSERT_NO_FATAL_FAILURE(remove_all(kRootNumber, "00ab"));
  ASSERT_NO_FATAL_FAILURE(build());
  EXPECT_EQ(mount.number_at("00ab"), first) << "the same entry";
  EXPECT_EQ(*mount.read_at("00ab/f"), "same") << "and what was removed in it is there again";
  EXPECT_TRUE(mount.notifier.heard_number(first)) << "the kernel is told";
}

TEST_F(MountOverlayTest, NamesBelowAnEntryArePrivate) {
  auto made = mount.create(entry.id, "new");
  ASSERT_TRUE(made);
  EXPECT_TRUE(is_staging(made->attributes.number));
  ASSERT_TRUE(mount.write(made->attributes.number, "mine"));
  Number sub = mount.make_directory(entry.id, "sub")->attributes.number;
  mount.write_file(sub, "deep", "er");
  EXPECT_EQ(mount.create(entry.id, "readme").error(), FsError::exists);
  ASSERT_TRUE(mount.unlink(entry.id, "link"));
  EXPECT_EQ(mount.unlink(entry.id, "link").error(), FsError::not_found);
  mount.restart();
  auto names = mount.list(entry.id);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"bin", "new", "readme", "sub"}));
  EXPECT_EQ(*mount.read_at("00aa/new"), "mine");
  EXPECT_EQ(*mount.read_at("00aa/sub/deep"), "er");
  EXPECT_LE(mount.attributes(entry.id)->timeout, std::chrono::seconds(1));
  EXPECT_EQ(mount.store.visible().size(), 1u);
  EXPECT_EQ(mount.fs().uncommitted(), 0u);
  expect_untouched();
}

TEST_F(MountOverlayTest, RenamesBelowAnEntryArePrivate) {
  mount.write_file(entry.id, "tmp", "edited");
  ASSERT_TRUE(mount.rename(entry.id, "tmp", entry.id, "readme")) << "as sed -i does";
  EXPECT_EQ(*mount.read_at("00aa/readme"), "edited");
  ASSERT_TRUE(mount.unlink(entry.id, "readme"));
  EXPECT_EQ(mount.lookup(entry.id, "readme").error(), FsError::not_found) << "the lower one stays away";
  Number bin = mount.number_at("00aa/bin");
  ASSERT_TRUE(mount.rename(bin, "tool", entry.id, "moved"));
  EXPECT_EQ(*mount.read_at("00aa/moved"), "binary");
  EXPECT_EQ(mount.lookup(bin, "tool").error(), FsError::not_found);
  mount.restart();
  EXPECT_EQ(*mount.read_at("00aa/moved"), "binary");
  EXPECT_TRUE(mount.list(bin).empty());
  ASSERT_TRUE(mount.remove_directory(entry.id, "bin"));
  expect_untouched();
}

TEST_F(MountOverlayTest, ARenameInsideATreeThatIsBeingCommittedSurvivesTheCommit) {
  mount.daemon.set_up(true);
  mount.daemon.hold_commits(true);
  Number top = mount.make_directory(kRootNumber, "tmp")->attributes.number;
  Number file = mount.write_file(top, "a", "bytes");
  mount.write_file(top, "gone", "x");
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00ac"));
  ASSERT_TRUE(mount.rename(top, "a", top, "b"));
  ASSERT_TRUE(mount.unlink(top, "gone"));
  mount.write_file(top, "private", "y");
  for (int round = 0; round < 2; ++round) {
    auto names = mount.list(mount.number_at("00ac"));
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{"b", "private"})) << round;
    EXPECT_EQ(*mount.read_at("00ac/b"), "bytes") << round;
    EXPECT_EQ(*mount.read_at("00ac/private"), "y") << round;
    mount.daemon.hold_commits(false);
    mount.wait_until_committed();
  }
  EXPECT_TRUE(is_committed(mount.number_at("00ac/b")));
  EXPECT_EQ(*mount.read(file), "bytes");
  mount.remount();
  EXPECT_EQ(mount.list(mount.number_at("00ac")), (std::vector<std::string>{"a", "gone"}));
}

TEST_F(MountOverlayTest, TwoMountsOfOneStoreDoNotSeeEachOthersChanges) {
  MountHarness other;
  other.store.commit(MountHarness::key("00aa"), kTree);
  ASSERT_TRUE(mount.unlink(entry.id, "readme"));
  EXPECT_EQ(*other.read_at("00aa/readme"), "a long text");
}

TEST_F(MountOverlayTest, AFullDiskDuringCopyUpLeavesTheEntryReadable) {
  class FullDisk final : public io::FaultInjector {
   public:
    FullDisk() { io::install_fault_injector(this); }
    ~FullDisk() override { io::install_fault_injector(nullptr); }
    Status before(const Step& step) override {
      if (step.what == "staged file" && step.op == io::Op::write) return Error{Code::no_space, "injected"};
      return Ok{};
    }
    void after(const Step&, bool) override {}
  };
  Number number = mount.number_at("00aa/readme");
  {
    FullDisk full;
    EXPECT_EQ(mount.write(number, "x").error(), FsError::no_space);
  }
  EXPECT_EQ(*mount.read(number), "a long text");
  EXPECT_EQ(mount.staged_files(), 0u);
  ASSERT_TRUE(mount.write(number, "x"));
}

// The tree is completed, open, changed, and replaced by another one before the daemon has it.
TEST_F(MountOverlayTest, WhatIsOpenInATreeThatIsDroppedKeepsItsChanges) {
  mount.daemon.set_up(false);
  Number open = mount.complete_file("00ac", "completed");
  ASSERT_TRUE(mount.write(open, "CHANGED", 0));
  ASSERT_TRUE(mount.set(open, {.mode = 0700}));
  // Its draft is there before the daemon is asked.
  while (!std::filesystem::exists(mount.staging() / "1.draft")) std::this_thread::yield();
  Number other = mount.complete_file("00ac", "changed in its time only");
  ASSERT_TRUE(mount.set(other, {.mtime_ns = 1'000'000'000}));
  Number last = mount.complete_file("00ac", "another");
  mount.daemon.set_up(true);
  mount.fs().resume_commits();
  mount.wait_until_committed();
  EXPECT_EQ(*mount.read(open), "CHANGEDed");
  EXPECT_EQ(mount.attributes(open)->attributes.mode, 0700);
  EXPECT_EQ(mount.attributes(other)->attributes.mtime_ns, 1'000'000'000);
  for (const auto& file : std::filesystem::directory_iterator(mount.staging())) {
    EXPECT_NE(file.path().extension(), ".draft") << file.path() << " of a tree that is dropped";
  }
  mount.fs().forget(other, 1);
  ASSERT_TRUE(mount.write(open, "!", 9));
  mount.restart();
  EXPECT_EQ(*mount.read(open), "CHANGEDed!");
  EXPECT_EQ(mount.staged_files(), 2u) << "its bytes, and what they were changed to";
  mount.fs().forget(open, 1);
  EXPECT_EQ(mount.staged_files(), 0u);
  EXPECT_EQ(*mount.read(last), "another");
  EXPECT_EQ(*mount.read_at("00ac"), "another");
}

// The kernel keeps pages and attributes for each number of a file that was open when its tree became an entry.
TEST_F(MountOverlayTest, AChangeUnderOneNumberOfAFileIsToldToTheOther) {
  mount.daemon.set_up(true);
  Number open = mount.complete_file("00ad", "completed");
  mount.wait_until_committed();
  Number named = mount.lookup(kRootNumber, "00ad")->attributes.number;
  ASSERT_NE(open, named);
  ASSERT_TRUE(mount.write(open, "CHANGED", 0));
  EXPECT_TRUE(mount.notifier.heard_number(named));
  EXPECT_FALSE(mount.notifier.heard_number(open)) << "the kernel made that change itself";
  ASSERT_TRUE(mount.set(named, {.mode = 0700}));
  EXPECT_TRUE(mount.notifier.heard_number(open));
  EXPECT_EQ(mount.attributes(open)->attributes.mode, 0700);
  EXPECT_EQ(*mount.read(named), "CHANGEDed");
}

}  // namespace
}  // namespace hitfs::fs
