#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "store/base/clock.h"
#include "store/base/guarded.h"

namespace hitfs {

// Runs small functions at their time, on one thread of its own. They must not block. Safe from several threads.
// Whatever has not run when the queue is destroyed never runs.
class TimerQueue {
 public:
  using Ticket = std::pair<MonotonicTime, uint64_t>;

  TimerQueue();
  ~TimerQueue();

  Ticket run_at(MonotonicTime when, std::function<void()> what);
  Ticket run_after(Nanoseconds from_now, std::function<void()> what);
  // After this returns `what` will not start; it may be running right now on the queue's thread.
  void cancel(const Ticket& ticket);
  // Waits for what is running; nothing runs afterwards. Call it before the objects that the functions use are
  // destroyed, and not from one of the functions.
  void stop();

 private:
  struct State {
    std::map<Ticket, std::function<void()>> waiting;
    uint64_t last_number = 0;
  };
  void serve(const std::stop_token& stop);

  Guarded<State> state_;
  std::jthread thread_;
};

}  // namespace hitfs
