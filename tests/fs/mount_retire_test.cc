// Entries that must go: bytes stay until the kernel has let go of the last number.
#include <gtest/gtest.h>

#include "tests/fs/mount_harness.h"

namespace hitfs::fs {
namespace {

class MountRetireTest : public ::testing::Test {
 protected:
  MountRetireTest() {
    mount.daemon.set_up(false);
    entry = mount.store.commit(MountHarness::key("00aa"), {{"d/f", "bytes"}, {"g", "more"}});
  }
  void retire() {
    mount.store.retire(entry.id);
    mount.event(DaemonEvent::Kind::retired, entry.key, entry.id);
  }
  MountHarness mount;
  Entry entry;
};

TEST_F(MountRetireTest, AnEntryThatNobodyUsesIsReleasedAtOnce) {
  retire();
  EXPECT_TRUE(mount.notifier.heard(kRootNumber, "00aa"));
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{entry.id});
  EXPECT_TRUE(mount.fs().take_released().empty());
  EXPECT_EQ(mount.lookup(kRootNumber, "00aa").error(), FsError::not_found);
}

TEST_F(MountRetireTest, AnEntryInUseIsReadableAndItsNamesAreLetGoOf) {
  ASSERT_TRUE(mount.lookup(kRootNumber, "00aa"));
  Number directory = mount.lookup(entry.id, "d")->attributes.number;
  Number file = mount.lookup(directory, "f")->attributes.number;
  retire();
  mount.notifier.wait_for(directory, "f");
  EXPECT_TRUE(mount.notifier.heard(entry.id, "d"));
  EXPECT_TRUE(mount.notifier.heard(entry.id, "g"));
  EXPECT_TRUE(mount.fs().take_released().empty());
  EXPECT_EQ(*mount.read(file), "bytes");
  mount.fs().forget(entry.id, 1);
  mount.fs().forget(directory, 1);
  EXPECT_TRUE(mount.fs().take_released().empty());
  mount.fs().forget(file, 1);
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{entry.id});
}

TEST_F(MountRetireTest, NamesInUseAreLetGoOfAgainLater) {
  ASSERT_TRUE(mount.lookup(kRootNumber, "00aa"));
  retire();
  mount.notifier.wait_for(entry.id, "g");
  mount.notifier.clear();
  EXPECT_TRUE(mount.fs().take_released().empty());
  EXPECT_FALSE(mount.notifier.heard(entry.id, "g")) << "not all the time";
  mount.clock.advance(std::chrono::seconds(6));
  EXPECT_TRUE(mount.fs().take_released().empty());
  mount.notifier.wait_for(entry.id, "g");
}

// However many events came after the one that told of it.
TEST_F(MountRetireTest, WhatWasRetiredWhileNoWorkerLivedIsReleasedWithoutAnEvent) {
  auto other = mount.store.commit(Key{"", "other", "x"}, {{"", "y"}});
  auto held = mount.lookup(kRootNumber, "00aa");
  ASSERT_TRUE(held);
  mount.stop();
  mount.store.retire(entry.id);
  mount.store.retire(other.id);
  mount.start();
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{other.id}) << "also of another layout";
  mount.fs().forget(entry.id, 1);
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{entry.id});
}

TEST_F(MountRetireTest, AnIndexThatCannotBeReadAtTheStartIsMadeUpForByEvents) {
  mount.stop();
  mount.store.retire(entry.id);
  mount.store.break_index(true);
  mount.start();
  mount.store.break_index(false);
  EXPECT_TRUE(mount.fs().take_released().empty());
  mount.event(DaemonEvent::Kind::retired, entry.key, entry.id);
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{entry.id});
}

TEST_F(MountRetireTest, ReferencesOfAnEarlierWorkerCount) {
  ASSERT_TRUE(mount.lookup(kRootNumber, "00aa"));
  mount.restart();
  retire();
  EXPECT_TRUE(mount.fs().take_released().empty());
  mount.fs().forget(entry.id, 1);
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{entry.id});
}

TEST_F(MountRetireTest, OldNumbersOfAnEntryMadeHereCount) {
  mount.daemon.set_up(true);
  Number number = mount.complete_file("00ab", "made here");
  mount.wait_until_committed();
  auto made = mount.store.find(MountHarness::key("00ab"));
  mount.store.retire(made->id);
  mount.event(DaemonEvent::Kind::retired, made->key, made->id);
  EXPECT_TRUE(mount.fs().take_released().empty()) << "the kernel has the staging number";
  EXPECT_EQ(*mount.read(number), "made here");
  mount.fs().forget(number, 1);
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{made->id});
}

TEST_F(MountRetireTest, WhatThisMountChangedGoesWithTheEntry) {
  ASSERT_TRUE(mount.write(mount.number_at("00aa/g"), "changed"));
  mount.write_file(entry.id, "own", "x");
  Number own = mount.number_at("00aa/own");
  EXPECT_EQ(mount.staged_files(), 2u);
  retire();
  EXPECT_EQ(mount.fs().take_released().size(), 1u);
  EXPECT_EQ(mount.staged_files(), 1u) << "the kernel still has the number of the private file";
  mount.fs().forget(own, 1);
  EXPECT_EQ(mount.staged_files(), 0u);
  mount.restart();
  EXPECT_EQ(mount.staged_files(), 0u);
}

TEST_F(MountRetireTest, ANewerEntryOfTheKeyIsShownAtOnce) {
  ASSERT_TRUE(mount.lookup(kRootNumber, "00aa"));
  std::optional<Entry> retired;
  auto newer = mount.store.commit(entry.key, {{"h", "new"}}, &retired);
  mount.event(DaemonEvent::Kind::committed, newer.key, newer.id);
  mount.event(DaemonEvent::Kind::retired, entry.key, entry.id);
  EXPECT_EQ(mount.number_at("00aa"), newer.id);
}

TEST_F(MountRetireTest, AnEntryOfAnotherNamespaceIsReleasedAtOnce) {
  auto other = mount.store.commit(Key{"", "nx", "123"}, {{"", "x"}});
  mount.store.retire(other.id);
  mount.event(DaemonEvent::Kind::retired, other.key, other.id);
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{other.id});
}

}  // namespace
}  // namespace hitfs::fs
