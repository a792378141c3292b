#include "sync/run_list.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace hitfs {
namespace {

const std::string kCommit(40, 'a');

Key nx(const std::string& name) { return Key{"", "nx", name}; }

RunList small_list() {
  RunList list{.commit = kCommit, .complete = true};
  list.items.push_back({nx("16753371117218787125"), "lib-a:build", RunList::How::stored, 957});
  list.items.push_back({nx("7"), "@org/ui:test:ci", RunList::How::hit, 300'000});
  list.items.push_back({Key{"", "flat", "1f 3a"}, "", RunList::How::hit, 0});
  return list;
}

RunList list_of(size_t items) {
  RunList list{.commit = kCommit};
  for (size_t i = 0; i < items; ++i)
    list.items.push_back({nx(std::to_string(i)), "task-" + std::to_string(i) + ":build"});
  return list;
}

TEST(RunListTest, ItsBytesAreThoseThatOtherVersionsRead) {
  auto bytes = small_list().encode();
  ASSERT_TRUE(bytes);
  testing::expect_golden(*bytes, "run-list.json");
  auto read = RunList::parse(testing::golden("run-list.json"));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, small_list());
}

TEST(RunListTest, ALongOneTravelsAsGzipAndComesBackWhole) {
  auto list = list_of(RunList::kMostItems);
  auto bytes = list.encode();
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_TRUE(bytes->starts_with("\x1f\x8b"));
  EXPECT_LT(bytes->size(), 1u << 20);
  auto read = RunList::parse(*bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, list);
}

TEST(RunListTest, HasAtMostFiftyThousandKeys) {
  EXPECT_EQ(list_of(RunList::kMostItems + 1).encode().error().code, Code::no_space);
  auto merged = list_of(RunList::kMostItems);
  RunList more{.commit = kCommit};
  more.items.push_back({nx("one-too-many")});
  merged.merge(more);
  EXPECT_EQ(merged.items.size(), RunList::kMostItems);
}

TEST(RunListTest, RefusesWhatIsNoListAndWhatIsNewer) {
  auto code_of = [](const std::string& bytes) { return RunList::parse(bytes).error().code; };
  auto good = *small_list().encode();
  EXPECT_EQ(code_of(""), Code::corrupt);
  EXPECT_EQ(code_of("<html>"), Code::corrupt);
  EXPECT_EQ(code_of("{}"), Code::corrupt);
  EXPECT_EQ(code_of(good.substr(0, good.size() / 2)), Code::corrupt);
  EXPECT_EQ(code_of(R"({"hitfs-list":2,"commit":")" + kCommit + R"(","keys":[]})"), Code::invalid_argument);
  EXPECT_EQ(code_of(R"({"hitfs-list":1,"commit":"main","keys":[]})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"hitfs-list":1,"commit":")" + kCommit + R"(","keys":[{"key":"no namespace"}]})"),
            Code::corrupt);
  auto packed = *list_of(5'000).encode();
  ASSERT_TRUE(packed.starts_with("\x1f\x8b"));
  packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 1);
  EXPECT_EQ(code_of(packed), Code::corrupt);
  EXPECT_EQ(code_of(std::string(RunList::kMostBytes + 1, ' ')), Code::corrupt);
}

TEST(RunListTest, CoversWhatSaysNothingMore) {
  auto all = small_list();
  EXPECT_TRUE(all.covers(all));
  auto less = all;
  less.items.pop_back();
  less.items[0].how = RunList::How::hit;
  less.items[1].task.clear();
  EXPECT_TRUE(all.covers(less));
  EXPECT_FALSE(less.covers(all));
  auto failed = all;
  failed.complete = false;
  EXPECT_TRUE(all.covers(failed));
  EXPECT_FALSE(failed.covers(all)) << "that the build succeeded is news";
  auto renamed = all;
  renamed.items[0].task = "lib-b:build";
  EXPECT_FALSE(all.covers(renamed));
}

TEST(RunListTest, MergesTheListsOfTwoBuilds) {
  RunList merged{.commit = kCommit};
  auto first = small_list();
  first.complete = false;
  first.items[0].task.clear();
  merged.merge(first);
  EXPECT_FALSE(merged.complete);
  auto second = small_list();
  second.items.push_back({nx("8")});
  merged.merge(second);
  EXPECT_TRUE(merged.complete);
  ASSERT_EQ(merged.items.size(), 4u);
  EXPECT_EQ(merged.items[0].task, "lib-a:build");
  EXPECT_EQ(merged.items[3].key, nx("8"));
}

TEST(RunListTest, KnowsTheNamesOfCommits) {
  EXPECT_TRUE(is_commit_name(kCommit));
  EXPECT_TRUE(is_commit_name(std::string(64, '0')));
  for (const char* other : {"", "HEAD", "abc"}) EXPECT_FALSE(is_commit_name(other));
  EXPECT_FALSE(is_commit_name(std::string(40, 'A')));
  EXPECT_FALSE(is_commit_name(std::string(41, 'a')));
  EXPECT_EQ(list_key(kCommit, 3).text(), "list/" + kCommit + "-3");
}

}  // namespace
}  // namespace hitfs
