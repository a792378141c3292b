#include "sync/announcements.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/daemon_parts.h"

namespace hitfs {
namespace {

Key key(size_t number) { return Key{"", "nx", std::to_string(number)}; }

class AnnouncementsTest : public ::testing::Test {
 protected:
  int told = 0;
  Announcements announcements{[this] { ++told; }};
};

TEST_F(AnnouncementsTest, TellsEachKeyOnceAndGoesOnWhereItStopped) {
  announcements.add({key(1), key(2)});
  auto first = announcements.after(0);
  EXPECT_EQ(first.keys, (std::vector<Key>{key(1), key(2)}));
  announcements.add({key(2), key(3)});
  EXPECT_EQ(announcements.after(first.next).keys, std::vector<Key>{key(3)});
  EXPECT_EQ(told, 2);
  announcements.add({key(1), key(2), key(3)});
  EXPECT_EQ(told, 2) << "nothing is new";
}

TEST_F(AnnouncementsTest, WhatIsHereOrCouldNotBeHadIsNotAnnouncedUntilSomebodySaysSoAgain) {
  announcements.add({key(1), key(2)});
  auto next = announcements.after(0).next;
  announcements.drop(key(1));
  announcements.drop(key(7));
  EXPECT_EQ(announcements.after(0).keys, std::vector<Key>{key(2)});
  announcements.add({key(1)});
  EXPECT_EQ(announcements.after(next).keys, std::vector<Key>{key(1)});
}

TEST_F(AnnouncementsTest, SaysItOnceUntilSomebodyReads) {
  announcements.add({key(1)});
  announcements.add({key(2)});
  EXPECT_EQ(told, 1);
  EXPECT_EQ(announcements.after(0).keys.size(), 2u);
  announcements.add({key(3)});
  EXPECT_EQ(told, 2);
}

TEST(EvictedBeforeTest, IsWhatTheLogTellsAndTheStoreHasNoMore) {
  testing::DaemonParts parts;
  auto& log = parts.store->access_log();
  for (size_t i = 1; i <= 3; ++i) log.record(key(i), AccessKind::evicted, "room");
  log.record(key(4), AccessKind::evicted, "replaced");
  log.record(key(5), AccessKind::miss, "team");
  for (size_t i = 0; i < 2000; ++i) log.record(key(6), AccessKind::hit, "");
  log.record(key(7), AccessKind::evicted, "verify");
  parts.commit_file(key(2), "here again");
  EXPECT_EQ(evicted_before(log, parts.store->reader(), {}), (std::vector<Key>{key(1), key(3), key(7)}));
}

TEST_F(AnnouncementsTest, TheOldestGo) {
  std::vector<Key> many;
  for (size_t i = 0; i < Announcements::kMost + 2; ++i) many.push_back(key(i));
  announcements.add(many);
  auto page = announcements.after(0);
  ASSERT_EQ(page.keys.size(), Announcements::kMost);
  EXPECT_EQ(page.keys.front(), key(2));
  EXPECT_EQ(told, 1);
}

}  // namespace
}  // namespace hitfs
