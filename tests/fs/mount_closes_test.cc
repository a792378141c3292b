// Completion by close, with the answers that LastCloses would bring.
#include <gtest/gtest.h>

#include "tests/fs/mount_harness.h"

namespace hitfs::fs {

namespace {

// The question and its answer, nothing in between.
bool close(MountHarness& mount, const std::string& name) {
  return mount.fs().note_writes(name) && mount.fs().last_closed(name, mount.number_at(name));
}

}  // namespace

TEST(MountClosesTest, AFileThatNobodyWritesIsComplete) {
  MountHarness mount("close");
  Number number = mount.write_file(kRootNumber, "00cd", "written");
  ASSERT_TRUE(mount.fs().note_writes("00cd"));
  ASSERT_TRUE(mount.write(number, " in place", 7));
  EXPECT_FALSE(mount.fs().last_closed("00cd", number)) << "it was written to since the question";
  EXPECT_EQ(mount.fs().uncommitted(), 0u);
  EXPECT_EQ(*mount.read_at("00cd"), "written in place");
  ASSERT_TRUE(mount.fs().note_writes("00cd"));
  EXPECT_TRUE(mount.fs().last_closed("00cd", number));
  mount.notifier.wait_for(kRootNumber, "00cd");
  mount.wait_until_committed();
  ASSERT_EQ(mount.store.visible().size(), 1u);
  EXPECT_EQ(*mount.read_at("00cd"), "written in place");
  EXPECT_FALSE(mount.fs().note_writes("00cd")) << "there is nothing to complete any more";
}

TEST(MountClosesTest, AnAnswerAboutAnotherFileIsNone) {
  MountHarness mount("close");
  Number first = mount.write_file(kRootNumber, "00d1", "first");
  ASSERT_TRUE(mount.fs().note_writes("00d1"));
  ASSERT_TRUE(mount.unlink(kRootNumber, "00d1"));
  mount.write_file(kRootNumber, "00d1", "second");
  EXPECT_FALSE(mount.fs().last_closed("00d1", first));
  EXPECT_EQ(mount.fs().uncommitted(), 0u);
}

TEST(MountClosesTest, OnlyFilesOfTheLayoutAreAskedAbout) {
  MountHarness mount("close");
  mount.write_file(kRootNumber, "notes.txt", "no entry's name");
  ASSERT_TRUE(mount.make_directory(kRootNumber, "00d2"));
  mount.write_file(mount.number_at("00d2"), "00d3", "below");
  for (const char* name : {"notes.txt", "00d2", "00d3", "00d4"}) EXPECT_FALSE(mount.fs().note_writes(name)) << name;
  EXPECT_TRUE(mount.fs().written_in_place().empty());
}

TEST(MountClosesTest, EqualBytesRewrittenAreNoNewEntry) {
  MountHarness mount("close");
  auto entry = mount.store.commit(MountHarness::key("00ce"), {{"", "log"}});
  Number number = mount.lookup(kRootNumber, "00ce")->attributes.number;
  ASSERT_TRUE(mount.resize(number, 0));
  ASSERT_TRUE(mount.write(number, "log"));
  EXPECT_EQ(mount.staged_files(), 1u);
  EXPECT_TRUE(close(mount, "00ce"));
  EXPECT_TRUE(mount.notifier.heard_number(number));
  EXPECT_EQ(mount.staged_files(), 0u);
  mount.restart();
  EXPECT_EQ(mount.number_at("00ce"), entry.id);
}

TEST(MountClosesTest, OtherBytesWrittenInPlaceAreANewEntry) {
  MountHarness mount("close");
  auto entry = mount.store.commit(MountHarness::key("00cf"), {{"", "old log"}});
  Number number = mount.lookup(kRootNumber, "00cf")->attributes.number;
  ASSERT_TRUE(mount.resize(number, 0));
  ASSERT_TRUE(mount.fs().note_writes("00cf"));
  ASSERT_TRUE(mount.write(number, "new"));
  EXPECT_FALSE(mount.fs().last_closed("00cf", number)) << "it was written to since the question";
  EXPECT_EQ(mount.fs().uncommitted(), 0u);
  EXPECT_TRUE(close(mount, "00cf"));
  mount.notifier.wait_for(kRootNumber, "00cf");
  mount.wait_until_committed();
  ASSERT_EQ(mount.store.visible().size(), 1u);
  EXPECT_NE(mount.store.visible()[0].id, entry.id);
  EXPECT_EQ(*mount.read_at("00cf"), "new");
}

TEST(MountClosesTest, TheNextWorkerAsksAboutAllThatIsWrittenInPlace) {
  MountHarness mount("close");
  auto entry = mount.store.commit(MountHarness::key("00e1"), {{"", "old"}});
  mount.write_file(kRootNumber, "00e2", "left open");
  ASSERT_TRUE(mount.write(mount.lookup(kRootNumber, "00e1")->attributes.number, "new"));
  mount.restart();
  EXPECT_EQ(mount.fs().written_in_place(), (std::vector<std::string>{"00e2", "00e1"}));
  EXPECT_TRUE(close(mount, "00e1"));
  EXPECT_TRUE(close(mount, "00e2"));
  EXPECT_TRUE(mount.fs().written_in_place().empty());
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 2u);
}

// Power may have been lost in between, and with it bytes that the log cannot know of.
TEST(MountClosesTest, TheNextMountDoesNotAskAboutFilesOfTheOneBefore) {
  MountHarness mount("close");
  mount.write_file(kRootNumber, "00e3", "of the mount before");
  mount.remount();
  mount.write_file(kRootNumber, "00e4", "of this one");
  EXPECT_EQ(mount.fs().written_in_place(), std::vector<std::string>{"00e4"});
  mount.restart();
  EXPECT_EQ(mount.fs().written_in_place(), std::vector<std::string>{"00e4"});
  // A program that writes it again and closes it completes it.
  EXPECT_TRUE(close(mount, "00e3"));
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 1u);
}

}  // namespace hitfs::fs
