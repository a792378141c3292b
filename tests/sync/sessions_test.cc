#include "sync/sessions.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace hitfs {
namespace {

constexpr Milliseconds kBudget{10'000};

Key key_of(const std::string& name) { return {"", "nx", name}; }

TEST(SessionsTest, ASessionCountsEachKeyOnce) {
  Sessions sessions(kBudget);
  auto id = sessions.begin();
  sessions.hit(key_of("1"), false);
  sessions.hit(key_of("1"), false);
  sessions.hit(key_of("2"), true);
  sessions.missed(key_of("3"));
  sessions.missed(key_of("3"));
  sessions.lookup_failed(key_of("3"));
  auto counters = sessions.end(id);
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->hit, 2u);
  EXPECT_EQ(counters->prewarmed, 1u);
  EXPECT_EQ(counters->miss, 1u);
  EXPECT_EQ(counters->failed, 1u);
}

TEST(SessionsTest, WhatWasStoredUnaskedWasAMissUnlessItsLookupFailed) {
  Sessions sessions(kBudget);
  auto id = sessions.begin();
  sessions.missed_unasked(key_of("1"));
  sessions.missed_unasked(key_of("1"));
  sessions.missed(key_of("2"));
  sessions.missed_unasked(key_of("2"));
  sessions.lookup_failed(key_of("3"));
  sessions.missed_unasked(key_of("3"));
  auto counters = sessions.end(id);
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->miss, 2u);
  EXPECT_EQ(counters->failed, 1u);
  EXPECT_EQ(sessions.totals().miss, 2u);
}

TEST(SessionsTest, TwoSessionsSideBySideBothCount) {
  Sessions sessions(kBudget);
  auto one = sessions.begin();
  sessions.pushed();
  auto other = sessions.begin();
  sessions.pushed();
  EXPECT_EQ(sessions.end(one)->pushed, 2u);
  EXPECT_EQ(sessions.end(other)->pushed, 1u);
  EXPECT_FALSE(sessions.end(one));
}

TEST(SessionsTest, RemembersWhatABuildHitAndStoredInThatOrder) {
  Sessions sessions(kBudget);
  sessions.stored(key_of("before"));
  auto one = sessions.begin();
  sessions.hit(key_of("9"), false);
  sessions.stored(key_of("1"));
  sessions.hit(key_of("1"), false);
  auto other = sessions.begin();
  sessions.missed(key_of("3"));
  sessions.stored(key_of("3"));
  sessions.stored(key_of("9"));
  auto names = [&](const std::string& id) {
    std::string text;
    const auto keys = sessions.keys(id).value();
    for (const auto& use : keys.uses) text += use.key.name + (use.stored ? "+ " : " ");
    return text;
  };
  EXPECT_EQ(names(one), "9+ 1+ 3+ ");
  EXPECT_EQ(names(other), "3+ 9+ ");
  EXPECT_FALSE(sessions.keys(one)->cut);
  EXPECT_TRUE(sessions.end(one));
  EXPECT_FALSE(sessions.keys(one));
}

TEST(SessionsTest, RemembersABoundedNumberOfKeysAndSaysSo) {
  Sessions sessions(kBudget);
  auto id = sessions.begin();
  for (int i = 0; i < 50'001; ++i) sessions.hit(key_of(std::to_string(i)), false);
  auto keys = *sessions.keys(id);
  EXPECT_EQ(keys.uses.size(), 50'000u);
  EXPECT_TRUE(keys.cut);
  EXPECT_EQ(sessions.end(id)->hit, 50'001u);
}

TEST(SessionsTest, TheBudgetIsSpentOnlyWhenEveryOpenSessionHasSpentIts) {
  testing::FakeClock clock;
  Sessions sessions(kBudget, clock);
  auto old_one = sessions.begin();
  sessions.waited(kBudget);
  EXPECT_EQ(sessions.budget_left(), Milliseconds(0));
  auto fresh = sessions.begin();
  EXPECT_EQ(sessions.budget_left(), kBudget);
  EXPECT_EQ(sessions.end(old_one)->waited, kBudget);
  EXPECT_EQ(sessions.end(fresh)->waited, Milliseconds(0));
}

TEST(SessionsTest, WithoutASessionTheBudgetComesBackAfterAQuietMinute) {
  testing::FakeClock clock;
  Sessions sessions(kBudget, clock);
  sessions.waited(kBudget);
  EXPECT_EQ(sessions.budget_left(), Milliseconds(0));
  clock.advance(std::chrono::seconds(61));
  EXPECT_EQ(sessions.budget_left(), kBudget);
}

}  // namespace
}  // namespace hitfs
