// What a program may do with names and bytes that are no entry.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "fs/numbers.h"
#include "store/mount_lock.h"
#include "tests/fs/mount_harness.h"

namespace hitfs::fs {
namespace {

TEST(MountStagingTest, WritesAndReadsBack) {
  MountHarness mount;
  auto made = mount.create(kRootNumber, "notes", 0640);
  ASSERT_TRUE(made);
  EXPECT_TRUE(is_staging(made->attributes.number));
  EXPECT_EQ(made->attributes.mode, 0640);
  EXPECT_EQ(made->attributes.uid, 1234u);
  Number number = made->attributes.number;
  EXPECT_EQ(*mount.read(number), "");
  ASSERT_TRUE(mount.write(number, "hello"));
  ASSERT_TRUE(mount.write(number, "world", 10));
  EXPECT_EQ(*mount.read(number), std::string("hello\0\0\0\0\0world", 15));
  EXPECT_EQ(*mount.read(number, 10, 3), "wor");
  EXPECT_EQ(mount.attributes(number)->attributes.size, 15u);
}

TEST(MountStagingTest, ALongerFileRewrittenWithAShorterOneIsTheShorterOne) {
  MountHarness mount;
  Number number = mount.write_file(kRootNumber, "f", "a long sentence");
  ASSERT_TRUE(mount.resize(number, 0));
  ASSERT_TRUE(mount.write(number, "short"));
  EXPECT_EQ(*mount.read(number), "short");
  EXPECT_EQ(mount.attributes(number)->attributes.size, 5u);
}

TEST(MountStagingTest, NamesOfAnyLegalBytesAndNoLongerThan255) {
  MountHarness mount;
  std::string odd = "a \n\x01\xff\xc3(";
  mount.write_file(kRootNumber, odd, "x");
  mount.write_file(kRootNumber, std::string(255, 'n'), "y");
  EXPECT_EQ(*mount.read_at(odd), "x");
  EXPECT_EQ(mount.create(kRootNumber, std::string(256, 'n')).error(), FsError::name_too_long);
  mount.restart();
  EXPECT_EQ(*mount.read_at(odd), "x");
  EXPECT_EQ(*mount.read_at(std::string(255, 'n')), "y");
}

TEST(MountStagingTest, AnUnlinkedFileLivesUntilTheKernelForgetsIt) {
  MountHarness mount;
  Number number = mount.write_file(kRootNumber, "f", "still here");
  ASSERT_TRUE(mount.unlink(kRootNumber, "f"));
  EXPECT_EQ(mount.lookup(kRootNumber, "f").error(), FsError::not_found);
  EXPECT_EQ(*mount.read(number), "still here");
  ASSERT_TRUE(mount.write(number, "and written", 11));
  EXPECT_EQ(mount.staged_files(), 1u);
  mount.fs().forget(number, 1);
  EXPECT_EQ(mount.staged_files(), 0u);
  EXPECT_EQ(mount.attributes(number).error(), FsError::not_found);
}

TEST(MountStagingTest, AnUnlinkedFileSurvivesTheWorkerButNotTheMount) {
  MountHarness mount;
  Number number = mount.write_file(kRootNumber, "f", "still here");
  Number other = mount.write_file(kRootNumber, "g", "this as well");
  ASSERT_TRUE(mount.unlink(kRootNumber, "f"));
  ASSERT_TRUE(mount.unlink(kRootNumber, "g"));
  mount.restart();
  EXPECT_EQ(*mount.read(number), "still here");
  EXPECT_EQ(*mount.read(other), "this as well");
  mount.fs().forget(number, 1);
  EXPECT_EQ(mount.staged_files(), 1u);
  mount.remount();
  EXPECT_EQ(mount.staged_files(), 0u);
}

TEST(MountStagingTest, WhatAWorkerLeftGoesAndTheMountsLockStays) {
  MountHarness mount;
  auto lock = hold_mount_lock(mount.options.store, mount.options.mount_name);
  ASSERT_TRUE(lock) << lock.error().message;
  for (const char* left : {"4711", "4711.draft"}) std::ofstream(mount.staging() / left) << "of nothing";
  mount.write_file(kRootNumber, "f", "of a name");
  mount.restart();
  EXPECT_TRUE(mount_lives(mount.options.store, mount.options.mount_name));
  EXPECT_FALSE(std::filesystem::exists(mount.staging() / "4711"));
  EXPECT_FALSE(std::filesystem::exists(mount.staging() / "4711.draft"));
  EXPECT_EQ(*mount.read_at("f"), "of a name");
}

TEST(MountStagingTest, ErrorsAreThoseOfAnyFileSystem) {
  MountHarness mount;
  auto sub = mount.make_directory(kRootNumber, "d");
  ASSERT_TRUE(sub);
  Number directory = sub->attributes.number;
  Number file = mount.write_file(directory, "f", "x");
  EXPECT_EQ(mount.create(directory, "f").error(), FsError::exists);
  EXPECT_EQ(mount.make_directory(kRootNumber, "d").error(), FsError::exists);
  EXPECT_EQ(mount.remove_directory(kRootNumber, "d").error(), FsError::not_empty);
  EXPECT_EQ(mount.unlink(kRootNumber, "d").error(), FsError::is_directory);
  EXPECT_EQ(mount.remove_directory(directory, "f").error(), FsError::not_directory);
  EXPECT_EQ(mount.unlink(directory, "g").error(), FsError::not_found);
  EXPECT_EQ(mount.create(file, "x").error(), FsError::not_directory);
  EXPECT_EQ(mount.write(directory, "x").error(), FsError::is_directory);
  EXPECT_EQ(mount.resize(directory, 0).error(), FsError::is_directory);
  EXPECT_EQ(mount.read_link(file).error(), FsError::invalid);
  EXPECT_EQ(mount.make_symlink(directory, "l", "").error(), FsError::invalid);
}

TEST(MountStagingTest, RenamesLikeAnyFileSystem) {
  MountHarness mount;
  Number a = mount.make_directory(kRootNumber, "a")->attributes.number;
  Number b = mount.make_directory(kRootNumber, "b")->attributes.number;
  mount.write_file(a, "f", "one");
  mount.write_file(b, "f", "two");
  EXPECT_EQ(mount.rename(a, "f", b, "f", 0, Filesystem::RenameMode::no_replace).error(), FsError::exists);
  EXPECT_EQ(mount.rename(a, "f", b, "f", 0, Filesystem::RenameMode::exchange).error(), FsError::invalid);
  ASSERT_TRUE(mount.rename(a, "f", b, "f"));
  EXPECT_EQ(*mount.read_at("b/f"), "one");
  EXPECT_EQ(mount.number_at("a/f"), 0u);
  EXPECT_EQ(mount.rename(kRootNumber, "a", b, "f").error(), FsError::not_directory);
  EXPECT_EQ(mount.rename(b, "f", kRootNumber, "a").error(), FsError::is_directory);
  EXPECT_EQ(mount.rename(kRootNumber, "a", kRootNumber, "b").error(), FsError::not_empty);
  Number below = mount.make_directory(b, "below")->attributes.number;
  EXPECT_EQ(mount.rename(kRootNumber, "b", below, "loop").error(), FsError::invalid);
  ASSERT_TRUE(mount.rename(kRootNumber, "b", a, "moved"));
  EXPECT_EQ(*mount.read_at("a/moved/f"), "one");
  ASSERT_TRUE(mount.rename(a, "moved", a, "moved"));
  EXPECT_EQ(mount.rename(a, "none", a, "x").error(), FsError::not_found);
}

TEST(MountStagingTest, LinksKeepTheirTarget) {
  MountHarness mount;
  auto link = mount.make_symlink(kRootNumber, "l", "../some/where");
  ASSERT_TRUE(link);
  EXPECT_EQ(link->attributes.type, FileType::symlink);
  EXPECT_EQ(link->attributes.size, 13u);
  mount.restart();
  EXPECT_EQ(*mount.read_link(link->attributes.number), "../some/where");
}

TEST(MountStagingTest, ModesAndTimesStayOverAWorker) {
  MountHarness mount;
  Number file = mount.write_file(kRootNumber, "f", "x");
  Number empty = mount.create(kRootNumber, "empty")->attributes.number;
  Number directory = mount.make_directory(kRootNumber, "d")->attributes.number;
  for (Number number : {file, empty, directory}) {
    ASSERT_TRUE(mount.set(number, {.mode = 0700, .mtime_ns = 1'000'000'000'123'456'789, .atime_ns = 42'000'000'001}));
  }
  ASSERT_TRUE(mount.set(file, {.mtime_ns = -1'500'000'000}));
  mount.restart();
  EXPECT_EQ(mount.attributes(file)->attributes.mtime_ns, -1'500'000'000);
  for (Number number : {empty, directory}) {
    auto attributes = mount.attributes(number)->attributes;
    EXPECT_EQ(attributes.mode, 0700);
    EXPECT_EQ(attributes.mtime_ns, 1'000'000'000'123'456'789);
    EXPECT_EQ(attributes.atime_ns, 42'000'000'001);
  }
}

TEST(MountStagingTest, OwnersStayAndNothingIsSetuid) {
  MountHarness mount;
  Number file = mount.create(kRootNumber, "f", 06755)->attributes.number;
  EXPECT_EQ(mount.attributes(file)->attributes.mode, 0755);
  auto changed = mount.set(file, {.mode = 04711, .uid = 0, .gid = 0});
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->attributes.mode, 0711);
  EXPECT_EQ(changed->attributes.uid, 1234u);
  auto root = mount.set(kRootNumber, {.mode = 0777});
  ASSERT_TRUE(root);
  EXPECT_EQ(root->attributes.mode, 0775);
}

TEST(MountStagingTest, ADirectorysTimeGrowsWithEveryChange) {
  MountHarness mount;
  Number directory = mount.make_directory(kRootNumber, "d")->attributes.number;
  auto time = [&](Number number) { return mount.attributes(number)->attributes.mtime_ns; };
  for (Number number : {kRootNumber, directory}) {
    auto before = time(number);
    mount.write_file(number, "f", "x");
    auto created = time(number);
    EXPECT_GT(created, before);
    ASSERT_TRUE(mount.rename(number, "f", number, "g"));
    auto renamed = time(number);
    EXPECT_GT(renamed, created);
    ASSERT_TRUE(mount.unlink(number, "g"));
    EXPECT_GT(time(number), renamed);
    EXPECT_LE(mount.attributes(number)->timeout, std::chrono::seconds(1));
  }
  auto before = time(kRootNumber);
  mount.clock.advance(std::chrono::milliseconds(1));
  mount.restart();
  EXPECT_GT(time(kRootNumber), before);
}

TEST(MountStagingTest, NamesThatAreNoEntrySurviveTheMount) {
  MountHarness mount;
  Number directory = mount.make_directory(kRootNumber, "terminalOutputs")->attributes.number;
  mount.write_file(directory, "123", "log");
  mount.remount();
  EXPECT_EQ(*mount.read_at("terminalOutputs/123"), "log");
}

TEST(MountStagingTest, ARequestThatWasCarriedOutIsAnsweredAgainAndNotDoneAgain) {
  MountHarness mount;
  auto made = mount.create(kRootNumber, "f", 0644, 10);
  ASSERT_TRUE(made);
  ASSERT_TRUE(mount.make_directory(kRootNumber, "d", 12));
  mount.write_file(kRootNumber, "g", "x");
  ASSERT_TRUE(mount.rename(kRootNumber, "g", kRootNumber, "h", 14));
  ASSERT_TRUE(mount.unlink(kRootNumber, "h", 16));
  ASSERT_TRUE(mount.make_directory(kRootNumber, "e", 18));
  ASSERT_TRUE(mount.remove_directory(kRootNumber, "e", 20));
  mount.restart();
  auto again = mount.create(kRootNumber, "f", 0644, 10);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->attributes.number, made->attributes.number);
  EXPECT_TRUE(mount.make_directory(kRootNumber, "d", 12));
  EXPECT_TRUE(mount.rename(kRootNumber, "g", kRootNumber, "h", 14));
  EXPECT_TRUE(mount.unlink(kRootNumber, "h", 16));
  EXPECT_TRUE(mount.remove_directory(kRootNumber, "e", 20));
  // Another request is another request.
  EXPECT_EQ(mount.create(kRootNumber, "f", 0644, 22).error(), FsError::exists);
  EXPECT_EQ(mount.unlink(kRootNumber, "h", 24).error(), FsError::not_found);
}

TEST(MountStagingTest, AnotherMountsRequestsAreNotTakenForRepeated) {
  MountHarness mount;
  ASSERT_TRUE(mount.create(kRootNumber, "f", 0644, 10));
  mount.remount();
  EXPECT_EQ(mount.create(kRootNumber, "f", 0644, 10).error(), FsError::exists);
  ASSERT_TRUE(mount.create(kRootNumber, "g", 0644, 12));
  EXPECT_NE(mount.number_at("g"), 0u);
}

TEST(MountStagingTest, NumbersAreNeverUsedTwice) {
  MountHarness mount;
  std::set<Number> seen;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 10; ++i) {
      auto made = mount.create(kRootNumber, "f");
      ASSERT_TRUE(made);
      EXPECT_TRUE(is_staging(made->attributes.number));
      EXPECT_TRUE(seen.insert(made->attributes.number).second);
      ASSERT_TRUE(mount.unlink(kRootNumber, "f"));
      mount.fs().forget(made->attributes.number, 1);
    }
    round % 2 ? mount.restart() : mount.remount();
  }
}

TEST(MountStagingTest, TheLogIsRewrittenWhenItIsMostlyHistory) {
  MountHarness mount;
  Number kept = mount.write_file(kRootNumber, "kept", "bytes");
  Number directory = mount.make_directory(kRootNumber, "d")->attributes.number;
  mount.write_file(directory, "inner", "x");
  for (int i = 0; i < 20000; ++i) {
    auto made = mount.create(kRootNumber, "f");
    ASSERT_TRUE(made);
    ASSERT_TRUE(mount.unlink(kRootNumber, "f"));
    mount.fs().forget(made->attributes.number, 1);
  }
  auto log = mount.staging() / "names.log";
  // The last few thousand requests are remembered by their number.
  EXPECT_LT(std::filesystem::file_size(log), 2u << 20);
  mount.restart();
  EXPECT_EQ(*mount.read(kept), "bytes");
  EXPECT_EQ(*mount.read_at("d/inner"), "x");
  EXPECT_EQ(mount.list(kRootNumber), (std::vector<std::string>{"d", "kept"}));
}

TEST(MountStagingTest, LeftoversOfADeadWorkerAreRemoved) {
  MountHarness mount;
  mount.write_file(kRootNumber, "f", "x");
  mount.stop();
  std::filesystem::copy_file(mount.staging() / "names.log", mount.staging() / std::to_string(kFirstStaging + 999));
  std::filesystem::copy_file(mount.staging() / "names.log", mount.staging() / "7.draft");
  mount.start();
  EXPECT_EQ(mount.staged_files(), 1u);
  EXPECT_FALSE(std::filesystem::exists(mount.staging() / "7.draft"));
  EXPECT_EQ(*mount.read_at("f"), "x");
}

TEST(MountStagingTest, TheDiskLooksLarge) {
  MountHarness mount;
  Pending<SpaceReply> pending;
  mount.fs().space({}, pending.reply());
  auto space = pending.get();
  ASSERT_TRUE(space);
  EXPECT_EQ(space->blocks * space->block_size, 1ull << 50);
  EXPECT_EQ(space->free_blocks, space->blocks);
}

TEST(MountStagingTest, SyncAnswersWhenTheBytesAndTheNameAreOnTheDisk) {
  MountHarness mount;
  Number number = mount.write_file(kRootNumber, "f", "x");
  EXPECT_TRUE(mount.sync_file(number));
  EXPECT_TRUE(mount.sync_directory(kRootNumber));
  Number directory = mount.make_directory(kRootNumber, "d")->attributes.number;
  EXPECT_TRUE(mount.sync_directory(directory));
}

}  // namespace
}  // namespace hitfs::fs
