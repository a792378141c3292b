#include "sync/timer_queue.h"

namespace hitfs {

TimerQueue::TimerQueue() : thread_([this](const std::stop_token& stop) { serve(stop); }) {}

TimerQueue::~TimerQueue() = default;

TimerQueue::Ticket TimerQueue::run_at(MonotonicTime when, std::function<void()> what) {
  auto state = state_.lock();
  Ticket ticket{when, ++state->last_number};
  state->waiting.emplace(ticket, std::move(what));
  state_.notify_all();
  return ticket;
}

TimerQueue::Ticket TimerQueue::run_after(Nanoseconds from_now, std::function<void()> what) {
  return run_at(system_clock().now() + from_now, std::move(what));
}

void TimerQueue::cancel(const Ticket& ticket) { state_.lock()->waiting.erase(ticket); }

void TimerQueue::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void TimerQueue::serve(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::function<void()> due;
    {
      auto state = state_.lock();
      if (!state.wait(stop, [](const State& now) { return !now.waiting.empty(); })) return;
      auto first = state->waiting.begin()->first;
      // Woken early when an earlier timer came or this one was cancelled.
      state.wait_until(stop, first.first,
                       [&](const State& now) { return now.waiting.empty() || now.waiting.begin()->first != first; });
      auto next = state->waiting.begin();
      if (next == state->waiting.end() || next->first.first > system_clock().now()) continue;
      due = std::move(next->second);
      state->waiting.erase(next);
    }
    due();
  }
}

}  // namespace hitfs
