// The thread that changes rows, without a mount.
#include "fs/nx/row_keeper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/fs/nx_databases.h"
#include "tests/support/temp_dir.h"

namespace hitfs::fs {
namespace {

class NoNames : public RowSource {
 public:
  bool publish(const std::string&) override { return false; }
  Result<std::set<std::string>> names() override { return std::set<std::string>{}; }
  std::vector<std::string> announced() override { return {}; }
  bool announce(const std::string&) override { return false; }
};

// Whoever asks while the keeper ends is answered: a request that is not would hang its program for good.
TEST(RowKeeperTest, EveryTaskIsAnsweredAlsoWhenTheKeeperEndsMeanwhile) {
  testing::TempDir dir;
  for (int round = 0; round < 20; ++round) {
    NoNames source;
    RowKeeper keeper(dir / "private", source);
    ASSERT_TRUE(keeper.begin());
    std::atomic<int> asked = 0, answered = 0;
    std::atomic<bool> ended = false;
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
          do {
            ++asked;
            keeper.when_projected([&](const Status&) { ++answered; });
          } while (!ended);
        });
      }
      while (asked < 8) std::this_thread::yield();
      keeper.stop();
      ended = true;
    }
    ASSERT_EQ(asked, answered) << "round " << round;
  }
}

}  // namespace
}  // namespace hitfs::fs
