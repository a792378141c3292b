#include "sync/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>

namespace hitfs {
namespace {

TEST(ThreadPoolTest, RunsAsManyAtOnceAsItHasThreads) {
  ThreadPool pool(3);
  std::latch all_three(3);
  std::promise<void> met;
  std::atomic<int> ran{0};
  for (int i = 0; i < 3; ++i) {
    pool.submit([&] {
      all_three.arrive_and_wait();  // hangs unless the others run at the same time
      if (++ran == 3) met.set_value();
    });
  }
  met.get_future().get();
}

TEST(ThreadPoolTest, EveryJobRunsOnce) {
  constexpr int kJobs = 1000;
  std::atomic<int> ran{0};
  std::promise<void> all;
  ThreadPool pool(4);
  for (int i = 0; i < kJobs; ++i) {
    pool.submit([&] {
      if (++ran == kJobs) all.set_value();
    });
  }
  all.get_future().get();
  EXPECT_EQ(ran, kJobs);
}

TEST(ThreadPoolTest, DestroyingItFinishesWhatRuns) {
  std::promise<void> started;
  std::atomic<bool> finished{false};
  {
    ThreadPool pool(1);
    pool.submit([&] {
      started.set_value();
      std::this_thread::yield();
      finished = true;
    });
    started.get_future().get();
  }
  EXPECT_TRUE(finished);
}

}  // namespace
}  // namespace hitfs
