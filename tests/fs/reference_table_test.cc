#include "fs/slots/reference_table.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <unordered_map>

namespace hitfs::fs {

namespace {

size_t keys_in(const SlotMemory& memory) {
  size_t keys = 0;
  for (const auto& reference : memory.references()) keys += reference.key != 0 ? 1 : 0;
  return keys;
}

}  // namespace

TEST(ReferenceTableTest, CountsGoUpAndDownAndNeverBelowZero) {
  auto memory = SlotMemory::create().value();
  ReferenceTable table(memory);
  EXPECT_EQ(table.count(5), 0u);
  table.add(5, 2);
  table.add(5, 1);
  EXPECT_EQ(table.count(5), 3u);
  table.drop(5, 1);
  EXPECT_EQ(table.count(5), 2u);
  table.drop(5, 10);
  EXPECT_EQ(table.count(5), 0u);
  table.drop(5, 1);
  table.drop(99, 1);
  EXPECT_EQ(table.count(5), 0u);
}

TEST(ReferenceTableTest, ACountWithoutAKeyIsNobodys) {
  auto memory = SlotMemory::create().value();
  for (auto& place : memory.references().first(64)) place.count = ~uint64_t{0};
  ReferenceTable table(memory.references().first(64));
  table.add(5, 2);
  EXPECT_EQ(table.count(5), 2u);
}

TEST(ReferenceTableTest, CountsOutliveTheirWorker) {
  auto memory = SlotMemory::create().value();
  { ReferenceTable(memory).add(uint64_t{1} << 33, 4); }
  auto next = SlotMemory::attach(memory.descriptor(), SlotMemory::Pages::lazy).value();
  EXPECT_EQ(ReferenceTable(next).count(uint64_t{1} << 33), 4u);
}

TEST(ReferenceTableTest, AgreesWithAMapAndLeavesNothingBehind) {
  auto memory = SlotMemory::create().value();
  ReferenceTable table(memory);
  std::unordered_map<uint64_t, uint64_t> model;
  std::mt19937_64 random(3);
  for (int step = 0; step < 300'000; ++step) {
    uint64_t key = (uint64_t{1} << 32) + random() % 20'000 * 37;
    if (random() % 2 == 0) {
      table.add(key, 1);
      ++model[key];
    } else if (model[key] > 0) {
      table.drop(key, 1);
      --model[key];
    }
  }
  for (auto [key, count] : model) ASSERT_EQ(table.count(key), count) << key;
  for (auto [key, count] : model) table.drop(key, count);
  EXPECT_LT(keys_in(memory), 100u) << "places of forgotten entries are given back";
}

TEST(ReferenceTableTest, AFullTableNeverCountsTooFew) {
  std::vector<format::Reference> places(256);
  ReferenceTable table(places);
  constexpr uint64_t kMore = 400;
  for (uint64_t key = 1; key <= kMore; ++key) table.add(key, 1);
  for (uint64_t key = 1; key <= kMore; ++key) ASSERT_GE(table.count(key), 1u) << key;
  for (uint64_t key = 1; key <= kMore; ++key) table.drop(key, 1);
  EXPECT_GE(table.count(kMore), 1u) << "what did not fit is kept until the end of the mount";
}

TEST(ReferenceTableTest, WhatDidNotFitCountsAlsoWhenItsEntryHasGotAPlace) {
  std::vector<format::Reference> places(256);
  ReferenceTable table(places);
  for (uint64_t key = 1; key <= 300; ++key) table.add(key, 1);
  for (uint64_t key = 1; key <= 100; ++key) table.drop(key, 1);
  table.add(300, 1);
  table.drop(300, 1);
  EXPECT_GE(table.count(300), 1u) << "the first of its two references is still there";
}

TEST(ReferenceTableTest, ACountNeverComesRoundToNothing) {
  std::vector<format::Reference> places(256);
  ReferenceTable table(places);
  table.add(7, UINT64_MAX - 1);
  table.add(7, 2);
  EXPECT_EQ(table.count(7), UINT64_MAX);
}

TEST(ReferenceTableTest, ThreadsCountTogether) {
  auto memory = SlotMemory::create().value();
  ReferenceTable table(memory);
  auto work = [&table] {
    for (int i = 0; i < 20'000; ++i) {
      table.add(static_cast<uint64_t>(i % 7) + 1, 2);
      table.drop(static_cast<uint64_t>(i % 7) + 1, 1);
    }
  };
  { std::jthread one(work), two(work), three(work); }
  uint64_t sum = 0;
  for (uint64_t key = 1; key <= 7; ++key) sum += table.count(key);
  EXPECT_EQ(sum, 60'000u);
}

}  // namespace hitfs::fs
