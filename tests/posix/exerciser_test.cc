// fsx in our own words: one file of a mount under random operations, while workers die and while it becomes an entry.
#include "tests/posix/exerciser.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "tests/support/real_mount_test.h"

namespace hitfs::testing {

namespace {

uint64_t operations(uint64_t few, uint64_t many) { return std::getenv("HITFS_DRILL_LONG") != nullptr ? many : few; }

class ExerciserTest : public RealMountTest {
 protected:
  ExerciserTest() : RealMountTest(std::chrono::seconds(operations(120, 3600))) {}

  void next_worker() {
    mount_->kill_worker();
    ASSERT_TRUE(mount_->start_worker());
    ++kills_;
  }

  int kills_ = 0;
};

}  // namespace

TEST_F(ExerciserTest, AStagedFileIsWhatWasWritten) {
  FileExerciser file(*mount_ / "staged", 20261121);
  auto count = operations(5'000, 1'000'000);
  for (uint64_t i = 1; i <= count; ++i) {
    ASSERT_TRUE(file.step()) << file.failure();
    if (i % (count / 20) != 0) continue;
    next_worker();
    ASSERT_TRUE(file.holds()) << file.failure();
  }
  std::cout << "[ drill    ] a staged file, over " << kills_ << " killed workers: " << file.counts() << "\n";
  EXPECT_EQ(kills_, 20);
  EXPECT_EQ(mount_->counts().failed, 0u);
}

// It is open all the time: frozen, handed over, an entry, changed in the overlay of this mount.
TEST_F(ExerciserTest, AFileThatBecomesAnEntryIsWhatWasWritten) {
  auto rounds = operations(10, 500);
  for (uint64_t round = 0; round < rounds; ++round) {
    auto number = std::to_string(round);
    FileExerciser file(*mount_ / ("aside" + number), round);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(file.step()) << "round " << round << ": " << file.failure();
    ASSERT_TRUE(file.rename(*mount_ / (std::string(16 - number.size(), 'e') + number))) << file.failure();
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(file.step()) << "round " << round << ": " << file.failure();
    ASSERT_TRUE(file.holds()) << "round " << round << ": " << file.failure();
    if (round % 5 == 4) next_worker();
    ASSERT_TRUE(file.holds()) << "round " << round << ": " << file.failure();
  }
  std::cout << "[ drill    ] " << rounds << " files that became entries in the middle of 100 operations, over "
            << kills_ << " killed workers\n";
  EXPECT_GE(kills_, 2);
}

}  // namespace hitfs::testing
