#include "sync/timer_queue.h"

#include <gtest/gtest.h>

#include <future>
#include <vector>

namespace hitfs {
namespace {

TEST(TimerQueueTest, RunsInTheOrderOfTimeNotOfAsking) {
  TimerQueue timers;
  std::vector<int> order;
  std::promise<void> last;
  auto now = system_clock().now();
  timers.run_at(now + Milliseconds(20), [&] { order.push_back(2), last.set_value(); });
  timers.run_at(now + Milliseconds(5), [&] { order.push_back(1); });
  last.get_future().get();
  EXPECT_EQ(order, (std::vector{1, 2}));
}

TEST(TimerQueueTest, ACancelledTimerNeverRuns) {
  TimerQueue timers;
  bool ran = false;
  std::promise<void> later;
  auto ticket = timers.run_after(Milliseconds(5), [&] { ran = true; });
  timers.cancel(ticket);
  timers.run_after(Milliseconds(10), [&] { later.set_value(); });
  later.get_future().get();
  EXPECT_FALSE(ran);
}

TEST(TimerQueueTest, DestroyingItDropsWhatHasNotRun) {
  bool ran = false;
  {
    TimerQueue timers;
    timers.run_after(std::chrono::hours(1), [&] { ran = true; });
  }
  EXPECT_FALSE(ran);
}

TEST(TimerQueueTest, NothingRunsAfterAStop) {
  TimerQueue timers;
  std::promise<void> started;
  bool ended = false;
  timers.run_after(Milliseconds(0), [&] {
    started.set_value();
    std::this_thread::yield();
    ended = true;
  });
  started.get_future().get();
  timers.stop();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace hitfs
