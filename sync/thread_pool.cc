#include "sync/thread_pool.h"

namespace hitfs {

ThreadPool::~ThreadPool() {
  std::vector<std::jthread> threads;
  {
    auto state = state_.lock();
    state->waiting.clear();
    threads.swap(state->threads);
  }
  for (auto& thread : threads) thread.request_stop();
}

void ThreadPool::submit(std::function<void()> job) {
  auto state = state_.lock();
  state->waiting.push_back(std::move(job));
  if (state->idle < state->waiting.size() && state->threads.size() < most_) {
    state->threads.emplace_back([this](const std::stop_token& stop) { serve(stop); });
  }
  state_.notify_all();
}

void ThreadPool::serve(const std::stop_token& stop) {
  while (true) {
    std::function<void()> job;
    {
      auto state = state_.lock();
      ++state->idle;
      bool ready = state.wait(stop, [](const State& now) { return !now.waiting.empty(); });
      --state->idle;
      if (!ready || stop.stop_requested()) return;
      job = std::move(state->waiting.front());
      state->waiting.pop_front();
    }
    job();
  }
}

}  // namespace hitfs
