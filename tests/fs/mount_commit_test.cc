// How names become entries, and what the mount shows until the daemon has committed, when it does not, and after.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>

#include "fs/numbers.h"
#include "tests/fs/mount_harness.h"

namespace hitfs::fs {
namespace {

// A tree with a sub-folder, a link, an empty file and an executable, not yet complete.
Number build_tree(MountHarness& mount, const std::string& name) {
  Number top = mount.make_directory(kRootNumber, name)->attributes.number;
  Number sub = mount.make_directory(top, "sub")->attributes.number;
  Number tool = mount.write_file(sub, "tool", "binary of " + name);
  EXPECT_TRUE(mount.set(tool, {.mode = 0755, .mtime_ns = 77'000'000'000}));
  EXPECT_TRUE(mount.create(top, "empty"));
  EXPECT_TRUE(mount.make_symlink(top, "link", "sub/tool"));
  return top;
}

void expect_tree(MountHarness& mount, const std::string& path, const std::string& made_as) {
  EXPECT_EQ(*mount.read_at(path + "/sub/tool"), "binary of " + made_as);
  EXPECT_EQ(*mount.read_at(path + "/empty"), "");
  EXPECT_EQ(*mount.read_link(mount.number_at(path + "/link")), "sub/tool");
  auto tool = mount.attributes(mount.number_at(path + "/sub/tool"));
  ASSERT_TRUE(tool);
  EXPECT_EQ(tool->attributes.mode, 0755);
  EXPECT_EQ(tool->attributes.mtime_ns, 77'000'000'000);
  EXPECT_EQ(mount.list(mount.number_at(path)).size(), 3u);
}

TEST(MountCommitTest, ARenameOntoAnEntryNameMakesAnEntryOfATree) {
  MountHarness mount;
  build_tree(mount, "tmp");
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00aa"));
  mount.wait_until_committed();
  auto entries = mount.store.visible();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].key, MountHarness::key("00aa"));
  EXPECT_EQ(entries[0].kind, EntryKind::directory);
  EXPECT_EQ(mount.number_at("00aa"), entries[0].id);
  expect_tree(mount, "00aa", "tmp");
  EXPECT_TRUE(mount.notifier.heard(kRootNumber, "00aa"));
}

TEST(MountCommitTest, ARenameOntoAnEntryNameMakesAnEntryOfAFile) {
  MountHarness mount;
  mount.complete_file("00ab", "content");
  mount.wait_until_committed();
  ASSERT_EQ(mount.store.visible().size(), 1u);
  EXPECT_EQ(mount.store.visible()[0].kind, EntryKind::file);
  EXPECT_EQ(*mount.read_at("00ab"), "content");
}

TEST(MountCommitTest, ARenameOutOfAFolderCompletesAsWell) {
  MountHarness mount;
  Number folder = mount.make_directory(kRootNumber, "tmp")->attributes.number;
  mount.write_file(folder, "x", "content");
  ASSERT_TRUE(mount.rename(folder, "x", kRootNumber, "00ac"));
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 1u);
}

TEST(MountCommitTest, OnlyARenameFromAnotherNameCompletes) {
  MountHarness mount;
  build_tree(mount, "00ad");
  ASSERT_TRUE(mount.rename(kRootNumber, "00ad", kRootNumber, "00ae"));
  ASSERT_TRUE(mount.make_symlink(kRootNumber, "l", "x"));
  ASSERT_TRUE(mount.rename(kRootNumber, "l", kRootNumber, "00af"));
  mount.wait_until_committed();
  EXPECT_TRUE(mount.store.visible().empty());
  expect_tree(mount, "00ae", "00ad");
  // The way in which Nx says "complete".
  ASSERT_TRUE(mount.rename(kRootNumber, "00ae", kRootNumber, "00ae-backup"));
  ASSERT_TRUE(mount.make_directory(kRootNumber, "00ae"));
  ASSERT_TRUE(mount.remove_directory(kRootNumber, "00ae"));
  ASSERT_TRUE(mount.rename(kRootNumber, "00ae-backup", kRootNumber, "00ae"));
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 1u);
}

TEST(MountCommitTest, TheRenameIsAnsweredBeforeTheDaemonIsAsked) {
  MountHarness mount;
  mount.daemon.hold_commits(true);
  build_tree(mount, "tmp");
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00ba"));
  EXPECT_EQ(mount.fs().uncommitted(), 1u);
  EXPECT_TRUE(is_staging(mount.number_at("00ba")));
  expect_tree(mount, "00ba", "tmp");
  mount.daemon.hold_commits(false);
  mount.wait_until_committed();
  EXPECT_TRUE(is_committed(mount.number_at("00ba")));
}

TEST(MountCommitTest, OldNumbersReadOnAfterTheCommit) {
  MountHarness mount;
  Number top = build_tree(mount, "tmp");
  auto sub = mount.lookup(top, "sub");
  auto tool = mount.lookup(sub->attributes.number, "tool");
  Number number = tool->attributes.number;
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00bb"));
  mount.wait_until_committed();
  EXPECT_EQ(mount.staged_files(), 0u);
  EXPECT_EQ(*mount.read(number), "binary of tmp");
  auto attributes = mount.attributes(number);
  ASSERT_TRUE(attributes);
  EXPECT_EQ(attributes->attributes.number, number);
  EXPECT_EQ(attributes->attributes.mtime_ns, 77'000'000'000);
  EXPECT_EQ(mount.list(top).size(), 3u);
  mount.restart();
  EXPECT_EQ(*mount.read(number), "binary of tmp");
  // Once for create, once for lookup.
  mount.fs().forget(number, 2);
  EXPECT_EQ(mount.attributes(number).error(), FsError::not_found);
}

TEST(MountCommitTest, AReadMeetsAFileThatTheDaemonHasJustTaken) {
  MountHarness mount;
  Number number = mount.complete_file("00bc", "before");
  mount.wait_until_committed();
  number = mount.write_file(kRootNumber, "tmp", "moved away");
  std::promise<void> go_on;
  auto gate = go_on.get_future().share();
  mount.daemon.on_commit([gate] { gate.wait(); });
  std::optional<Answer<std::string>> read;
  Answer<AttributesReply> attributes = FsError::io;
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00bd"));
  while (std::filesystem::exists(mount.staging() / std::to_string(number))) std::this_thread::yield();
  attributes = mount.attributes(number);
  ASSERT_TRUE(attributes);
  EXPECT_EQ(attributes->attributes.size, 10u);
  std::thread reader([&] { read = mount.read(number); });
  go_on.set_value();
  reader.join();
  ASSERT_TRUE(*read);
  EXPECT_EQ(**read, "moved away");
}

TEST(MountCommitTest, AWriteWaitsForBytesThatTheDaemonIsTaking) {
  MountHarness mount;
  Number number = mount.write_file(kRootNumber, "tmp", "moved away");
  std::promise<void> go_on;
  auto gate = go_on.get_future().share();
  mount.daemon.on_commit([gate] { gate.wait(); });
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00bd"));
  while (std::filesystem::exists(mount.staging() / std::to_string(number))) std::this_thread::yield();
  auto data_files = [&] {
    auto is_number = [](const auto& file) { return std::isdigit(file.path().filename().string()[0]) != 0; };
    std::filesystem::directory_iterator files(mount.staging());
    return std::count_if(begin(files), end(files), is_number);
  };
  auto before = data_files();
  auto written = std::async(std::launch::async, [&] { return mount.write(number, "M", 0); });
  // The copy has begun: what is copied is with the daemon.
  while (data_files() == before) std::this_thread::yield();
  go_on.set_value();
  ASSERT_TRUE(written.get());
  mount.wait_until_committed();
  auto read = mount.read(number);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, "Moved away");
}

TEST(MountCommitTest, WithoutDaemonTheTreeStaysAndIsTakenInLater) {
  MountHarness mount;
  mount.daemon.set_up(false);
  build_tree(mount, "tmp");
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00be"));
  ASSERT_TRUE(mount.sync_directory(kRootNumber)) << "durable in staging";
  EXPECT_EQ(mount.fs().uncommitted(), 1u);
  expect_tree(mount, "00be", "tmp");
  mount.restart();
  expect_tree(mount, "00be", "tmp");
  mount.daemon.set_up(true);
  mount.fs().resume_commits();
  mount.notifier.wait_for(kRootNumber, "00be");
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 1u);
  expect_tree(mount, "00be", "tmp");
}

TEST(MountCommitTest, AKilledWorkersTreesAreHandedOverByTheNext) {
  MountHarness mount;
  mount.daemon.set_up(false);
  mount.complete_file("00bf", "content");
  mount.remount();
  mount.daemon.set_up(true);
  mount.fs().resume_commits();
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 1u);
}

TEST(MountCommitTest, ALostAnswerIsAskedForAgain) {
  for (bool move : {false, true}) {
    MountHarness mount;
    mount.daemon.move_staged_files(move);
    mount.daemon.lose_commit_answers(true);
    mount.complete_file("00c0", "content");
    EXPECT_TRUE(mount.sync_directory(kRootNumber));
    EXPECT_EQ(mount.fs().uncommitted(), 1u);
    mount.daemon.lose_commit_answers(false);
    mount.restart();
    mount.wait_until_committed();
    EXPECT_EQ(mount.store.visible().size(), 1u);
    EXPECT_EQ(*mount.read_at("00c0"), "content");
  }
}

TEST(MountCommitTest, ARefusedTreeStaysAnOrdinaryName) {
  MountHarness mount;
  mount.daemon.fail_commits(Error{Code::no_space, "larger than the store"});
  mount.complete_file("00c1", "content");
  ASSERT_TRUE(mount.sync_directory(kRootNumber));
  EXPECT_EQ(mount.fs().uncommitted(), 0u);
  EXPECT_EQ(*mount.read_at("00c1"), "content");
  ASSERT_TRUE(mount.unlink(kRootNumber, "00c1"));
  EXPECT_EQ(mount.number_at("00c1"), 0u);
}

TEST(MountCommitTest, ARefusedTreeThatIsRemovedLeavesNoBytesBehind) {
  MountHarness mount;
  mount.daemon.fail_commits(Error{Code::no_space, "larger than the store"});
  mount.complete_file("00c1", "content");
  ASSERT_TRUE(mount.sync_directory(kRootNumber));
  ASSERT_TRUE(mount.unlink(kRootNumber, "00c1"));
  mount.wait_until_committed();
  mount.remount();
  for (const auto& file : std::filesystem::directory_iterator(mount.staging())) {
    EXPECT_FALSE(std::isdigit(static_cast<unsigned char>(file.path().filename().native()[0]))) << file.path();
  }
}

TEST(MountCommitTest, ATreeThatFoundNoRoomIsTriedAgainAfterMinutes) {
  MountHarness mount;
  mount.daemon.fail_commits(Error{Code::no_space, "the disk is full"});
  mount.complete_file("00d2", "content");
  ASSERT_TRUE(mount.sync_directory(kRootNumber));
  mount.daemon.fail_commits(std::nullopt);
  mount.clock.advance(std::chrono::seconds(59));
  mount.complete_file("00d3", "wakes the queue");
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 1u);
  mount.clock.advance(std::chrono::seconds(2));
  mount.complete_file("00d4", "wakes the queue");
  mount.daemon.wait_for_commits_begun(4);
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 3u);
  EXPECT_EQ(*mount.read_at("00d2"), "content");
}

TEST(MountCommitTest, ARefusedTreeNeverReplacesANewerOneOfItsName) {
  MountHarness mount;
  mount.daemon.fail_commits(Error{Code::no_space, "the disk is full"});
  mount.complete_file("00d1", "old");
  ASSERT_TRUE(mount.sync_directory(kRootNumber));
  mount.daemon.fail_commits(std::nullopt);
  mount.complete_file("00d1", "new");
  mount.wait_until_committed();
  mount.fs().resume_commits();
  mount.wait_until_committed();
  ASSERT_TRUE(mount.sync_directory(kRootNumber));
  EXPECT_EQ(*mount.read_at("00d1"), "new");
  EXPECT_EQ(mount.store.visible().size(), 1u);
}

TEST(MountCommitTest, ARenameOntoAnEntryReplacesIt) {
  MountHarness mount;
  auto old = mount.store.commit(MountHarness::key("00c2"), {{"a", "old"}});
  ASSERT_TRUE(mount.lookup(kRootNumber, "00c2"));
  build_tree(mount, "tmp");
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00c2"));
  expect_tree(mount, "00c2", "tmp");
  mount.wait_until_committed();
  auto entries = mount.store.visible();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_NE(entries[0].id, old.id);
  expect_tree(mount, "00c2", "tmp");
}

TEST(MountCommitTest, TheSameBytesAgainAreTheSameEntry) {
  MountHarness mount;
  Number first = mount.write_file(kRootNumber, "tmp", "content");
  ASSERT_TRUE(mount.set(first, {.mtime_ns = 5}));
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00c3"));
  mount.wait_until_committed();
  auto before = mount.number_at("00c3");
  ASSERT_TRUE(mount.unlink(kRootNumber, "00c3"));
  EXPECT_EQ(mount.number_at("00c3"), 0u);
  Number second = mount.write_file(kRootNumber, "tmp", "content");
  ASSERT_TRUE(mount.set(second, {.mtime_ns = 5}));
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00c3"));
  mount.wait_until_committed();
  EXPECT_EQ(mount.number_at("00c3"), before);
  EXPECT_EQ(*mount.read_at("00c3"), "content");
}

TEST(MountCommitTest, WhatCompletesTwiceBeforeTheDaemonIsBackIsHandedOverOnce) {
  MountHarness mount;
  mount.daemon.set_up(false);
  for (int i = 0; i < 5; ++i) mount.complete_file("00c4", "version " + std::to_string(i));
  EXPECT_EQ(*mount.read_at("00c4"), "version 4");
  mount.restart();
  EXPECT_EQ(*mount.read_at("00c4"), "version 4");
  mount.daemon.set_up(true);
  mount.fs().resume_commits();
  mount.wait_until_committed();
  EXPECT_EQ(*mount.read_at("00c4"), "version 4");
  EXPECT_EQ(mount.store.visible().size(), 1u);
}

TEST(MountCommitTest, AnEntryRenamedAwayIsAnotherDevice) {
  MountHarness mount;
  mount.store.commit(MountHarness::key("00c5"), {{"a", "x"}, {"d/b", "y"}});
  EXPECT_EQ(mount.rename(kRootNumber, "00c5", kRootNumber, "other").error(), FsError::cross_device);
  mount.daemon.hold_commits(true);
  mount.complete_file("00c6", "x");
  EXPECT_EQ(mount.rename(kRootNumber, "00c6", kRootNumber, "other").error(), FsError::cross_device);
  Number top = mount.number_at("00c5");
  EXPECT_EQ(mount.rename(top, "a", kRootNumber, "other").error(), FsError::cross_device);
  EXPECT_EQ(mount.rename(top, "d", top, "e").error(), FsError::cross_device);
  mount.daemon.hold_commits(false);
}

TEST(MountCommitTest, UnlinkBeforeTheCommitHoldsAfterIt) {
  MountHarness mount;
  mount.daemon.hold_commits(true);
  mount.complete_file("00c7", "content");
  mount.daemon.wait_for_commits_begun(1);
  ASSERT_TRUE(mount.unlink(kRootNumber, "00c7"));
  EXPECT_EQ(mount.lookup(kRootNumber, "00c7").error(), FsError::not_found);
  mount.daemon.hold_commits(false);
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 1u) << "other mounts have it";
  EXPECT_EQ(mount.lookup(kRootNumber, "00c7").error(), FsError::not_found);
  mount.restart();
  EXPECT_EQ(mount.lookup(kRootNumber, "00c7").error(), FsError::not_found);
  mount.remount();
  EXPECT_EQ(*mount.read_at("00c7"), "content") << "the whiteout ended with the mount";
}

TEST(MountCommitTest, WritesAfterTheRenameArePrivate) {
  MountHarness mount;
  mount.daemon.hold_commits(true);
  Number number = mount.complete_file("00c8", "content");
  ASSERT_TRUE(mount.write(number, "CON"));
  EXPECT_EQ(*mount.read(number), "CONtent");
  mount.daemon.hold_commits(false);
  mount.wait_until_committed();
  EXPECT_EQ(*mount.read(number), "CONtent");
  EXPECT_EQ(*mount.read_at("00c8"), "CONtent") << "in this mount, under its new number too";
  mount.remount();
  EXPECT_EQ(*mount.read_at("00c8"), "content") << "the entry has what was there at the rename";
}

TEST(MountCommitTest, APowerCutDropsTreesThatWereNotSynced) {
  MountHarness mount;
  mount.daemon.set_up(false);
  mount.complete_file("00c9", "acknowledged");
  ASSERT_TRUE(mount.sync_directory(kRootNumber));
  mount.complete_file("00ca", "perhaps not whole on the disk");
  mount.write_file(kRootNumber, "local", "kept as any file");
  mount.options.boot_id = "another boot";
  mount.remount();  // with the daemon still away: before the cut nothing may be handed over
  mount.daemon.set_up(true);
  mount.fs().resume_commits();
  mount.wait_until_committed();
  auto entries = mount.store.visible();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].key.name, "00c9");
  EXPECT_EQ(*mount.read_at("00c9"), "acknowledged");
  EXPECT_EQ(mount.number_at("00ca"), 0u) << "a miss, never a wrong byte";
  EXPECT_EQ(*mount.read_at("local"), "kept as any file");
}

TEST(MountCommitTest, AMarkerFileCompletesItsDirectory) {
  MountHarness mount("marker:.done");
  Number top = build_tree(mount, "00cb");
  EXPECT_EQ(mount.fs().uncommitted(), 0u);
  ASSERT_TRUE(mount.create(top, ".done"));
  mount.wait_until_committed();
  ASSERT_EQ(mount.store.visible().size(), 1u);
  EXPECT_EQ(*mount.read_at("00cb/sub/tool"), "binary of 00cb");
  Number other = build_tree(mount, "00cc");
  mount.write_file(other, ".tmp", "ok");
  ASSERT_TRUE(mount.rename(other, ".tmp", other, ".done"));
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 2u);
  EXPECT_EQ(*mount.read_at("00cc/.done"), "ok");
  Number local = build_tree(mount, "local");
  ASSERT_TRUE(mount.create(local, ".done"));
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 2u) << "no entry's name";
}

TEST(MountCommitTest, AFsyncOfTheDirectoryWaitsForTheCommit) {
  MountHarness mount;
  mount.daemon.hold_commits(true);
  mount.complete_file("00d0", "content");
  mount.daemon.wait_for_commits_begun(1);
  Pending<Ok> pending;
  mount.fs().sync_directory({}, kRootNumber, pending.reply());
  EXPECT_FALSE(pending.is_ready());
  mount.daemon.hold_commits(false);
  EXPECT_TRUE(pending.get());
  EXPECT_EQ(mount.store.visible().size(), 1u);
}

TEST(MountCommitTest, TwentyThousandFilesInOneEntry) {
  MountHarness mount;
  Number top = mount.make_directory(kRootNumber, "tmp")->attributes.number;
  for (int i = 0; i < 20000; ++i) {
    auto made = mount.create(top, std::to_string(i));
    ASSERT_TRUE(made);
    if (i % 100 == 0) {
      ASSERT_TRUE(mount.write(made->attributes.number, std::to_string(i)));
    }
    mount.fs().forget(made->attributes.number, 1);
  }
  ASSERT_TRUE(mount.rename(kRootNumber, "tmp", kRootNumber, "00d1"));
  mount.wait_until_committed();
  EXPECT_EQ(mount.list(mount.number_at("00d1"), 1000).size(), 20000u);
  EXPECT_EQ(*mount.read_at("00d1/19900"), "19900");
  EXPECT_EQ(mount.staged_files(), 0u);
}

}  // namespace
}  // namespace hitfs::fs
