#include "sync/local_work.h"

#include <gtest/gtest.h>

#include <optional>

namespace hitfs {
namespace {

TEST(LocalWorkTest, MovesWhileAPartIsUnderWay) {
  LocalWork work(3);
  EXPECT_FALSE(work.moves());
  {
    const LocalWork::Part part(work);
    EXPECT_TRUE(work.moves());
  }
  EXPECT_FALSE(work.moves());
}

TEST(LocalWorkTest, StandsStillWhenNothingBeginsOrEnds) {
  LocalWork work(3);
  const LocalWork::Part hanging(work);
  for (int tick = 0; tick < 3; ++tick) EXPECT_TRUE(work.moves()) << tick;
  EXPECT_FALSE(work.moves());
  EXPECT_FALSE(work.moves());
}

TEST(LocalWorkTest, AnyPartThatBeginsOrEndsIsAMove) {
  LocalWork work(2);
  const LocalWork::Part long_one(work);
  std::optional<LocalWork::Part> other;
  for (int tick = 0; tick < 10; ++tick) {
    if (tick % 2 == 0) other.emplace(work);
    if (tick % 2 == 1) other.reset();
    EXPECT_TRUE(work.moves()) << tick;
  }
}

}  // namespace
}  // namespace hitfs
