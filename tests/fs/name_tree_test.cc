// What records make of the names of a mount, also records that no worker writes; what workers write is tested through
// them (mount_*_test.cc) and against a model.
#include "fs/names/name_tree.h"

#include <gtest/gtest.h>

#include <vector>

namespace hitfs::fs {
namespace {

using Records = std::vector<NameRecord>;

constexpr Number kA = kFirstStaging;
constexpr Number kB = kFirstStaging + 1;

NameTree tree_of(const Records& records) {
  NameTree tree;
  for (const auto& record : records) tree.apply(record);
  return tree;
}

Records snapshot_of(const NameTree& tree) {
  Records records;
  tree.snapshot([&](const NameRecord& record) { records.push_back(record); });
  return records;
}

NameRecord directory(Number number, Number parent, const std::string& name) {
  return {.op = NameOp::make_directory, .number = number, .parent = parent, .name = name};
}

NameRecord file(Number number, Number parent, const std::string& name) {
  return {.op = NameOp::create, .number = number, .parent = parent, .name = name};
}

NameRecord link(Number number, Number parent, const std::string& name) {
  return {.op = NameOp::link, .number = number, .parent = parent, .name = name};
}

NameRecord complete(Number number, uint64_t tree, const std::string& name) {
  return {.op = NameOp::complete, .number = number, .tree = tree, .name = name};
}

TEST(NameTreeTest, ADirectoryWithASecondNameLosesTheFirst) {
  auto tree =
      tree_of({directory(kA, kRootNumber, "a"), directory(kB, kA, "b"), link(kB, kRootNumber, "b"), link(kA, kB, "a")});
  EXPECT_EQ(tree.child(kA, "b").kind, NameTree::ChildKind::none);
  EXPECT_EQ(tree.child(kRootNumber, "a").kind, NameTree::ChildKind::underneath);
  EXPECT_EQ(tree.child(kB, "a").number, kA);
  // One of each, their times, the session and the root: no directory lies within itself.
  EXPECT_EQ(snapshot_of(tree).size(), 6u);
}

TEST(NameTreeTest, ANodeIsInOneTree) {
  auto tree = tree_of({directory(kA, kRootNumber, "a"), complete(kA, 1, "a"), complete(kA, 2, "b"),
                       directory(kB, kRootNumber, "b"), complete(kB, 1, "b"), complete(kB, 0, "b")});
  ASSERT_EQ(tree.trees().size(), 1u);
  EXPECT_EQ(tree.node(kA)->tree, 1u);
  EXPECT_EQ(tree.node(kB)->tree, 0u);
}

TEST(NameTreeTest, OnlyWhatIsAtTheTopIsATree) {
  auto tree = tree_of({directory(kA, kRootNumber, "a"), directory(kB, kA, "b"), complete(kB, 1, "b")});
  EXPECT_TRUE(tree.trees().empty());
}

TEST(NameTreeTest, WhatIsFrozenGetsNoNamesElsewhere) {
  auto tree = tree_of({directory(kA, kRootNumber, "a"), file(kA + 2, kA, "f"), directory(kA + 3, kA, "d"),
                       complete(kA, 1, "a"), directory(kB, kRootNumber, "b")});
  tree.apply(link(kA + 2, kB, "f"));
  tree.apply(link(kA + 3, kA, "moved"));
  EXPECT_EQ(tree.child(kB, "f").kind, NameTree::ChildKind::none);
  EXPECT_EQ(tree.child(kA, "moved").kind, NameTree::ChildKind::none);
  tree.apply(link(kA + 2, kA, "moved"));
  EXPECT_EQ(tree.child(kA, "moved").number, kA + 2) << "a file in its own tree does";
}

TEST(NameTreeTest, NumbersOfOtherRangesAreNeverMade) {
  auto tree = tree_of({file(kRootNumber, kRootNumber, "root"), file(kFirstCommitted, kRootNumber, "entry"),
                       link(kA, kRootNumber, "nothing"), link(kRootNumber, kRootNumber, "again")});
  EXPECT_TRUE(tree.own_names(kRootNumber)->empty());
  EXPECT_EQ(tree.node(kRootNumber), nullptr);
}

TEST(NameTreeTest, WhatIsPromotedIsNew) {
  auto tree = tree_of({directory(kA, kRootNumber, "a"),
                       file(kB, kA, "b"),
                       {.op = NameOp::promote, .number = kFirstCommitted, .value = kA, .tree = 1, .name = "e"}});
  EXPECT_EQ(tree.node(kA)->type, FileType::directory);
  EXPECT_EQ(tree.child(kA, "b").number, kB);
  EXPECT_TRUE(tree.trees().empty());
}

TEST(NameTreeTest, AnAliasLeadsToAnEntry) {
  auto alias = [](Number number, Number target) {
    return NameRecord{.op = NameOp::alias, .number = number, .other_parent = kFirstCommitted, .value = target};
  };
  auto tree = tree_of({directory(kA, kRootNumber, "a"), alias(kA, kFirstCommitted), alias(kB, kA),
                       alias(kA + 2, kFirstCommitted + 2), directory(kA + 2, kRootNumber, "b")});
  EXPECT_EQ(tree.canonical(kA), kA) << "it is a node";
  EXPECT_EQ(tree.canonical(kB), kB) << "not to a number of this mount";
  EXPECT_EQ(tree.canonical(kA + 2), kFirstCommitted + 2);
  EXPECT_EQ(tree.node(kA + 2), nullptr) << "it is an alias";
}

// The first input of the fuzzer that a snapshot of was longer than the log.
TEST(NameTreeTest, ASnapshotOfASnapshotIsNotLonger) {
  auto tree = tree_of({directory(kA, kRootNumber, "a"),
                       {.op = NameOp::rename,
                        .number = kA,
                        .parent = kA,
                        .other_parent = kRootNumber,
                        .tree = 1,
                        .name = "c",
                        .other_name = "c"},
                       {.op = NameOp::rename,
                        .number = kA,
                        .parent = kA,
                        .other_parent = kA,
                        .value = 2,
                        .tree = 2,
                        .name = "c",
                        .other_name = "c"},
                       file(kRootNumber, kRootNumber, "a")});
  auto first = snapshot_of(tree);
  EXPECT_LE(snapshot_of(tree_of(first)).size(), first.size());
}

// `while mkdir d && cd d; do :; done`: what a stack of calls would not bear.
TEST(NameTreeTest, DirectoriesMayLieDeep) {
  constexpr size_t kDepth = 200'000;
  NameTree tree;
  for (size_t i = 0; i < kDepth; ++i) tree.apply(directory(kA + i, i == 0 ? kRootNumber : kA + i - 1, "d"));
  auto records = snapshot_of(tree);
  EXPECT_EQ(records.size(), 2 * kDepth + 2);
  auto again = tree_of(records);
  EXPECT_EQ(again.child(kA + kDepth - 2, "d").number, kA + kDepth - 1);

  // Below an entry such names end with the mount.
  NameTree below;
  for (size_t i = 0; i < kDepth; ++i) below.apply(directory(kA + i, i == 0 ? kFirstCommitted : kA + i - 1, "d"));
  below.apply({.op = NameOp::session, .value = 1});
  EXPECT_EQ(below.orphans().size(), kDepth);
}

}  // namespace
}  // namespace hitfs::fs
