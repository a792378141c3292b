#include "sync/listener/worker_pool.h"

#include <utility>

namespace hitfs {

WorkerPool::WorkerPool(int threads) {
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

WorkerPool::~WorkerPool() {
  state_.lock()->ending = true;
  state_.notify_all();
}

void WorkerPool::run(std::function<void()> task) {
  state_.lock()->tasks.push_back(std::move(task));
  state_.notify_all();
}

void WorkerPool::wait_idle() {
  auto state = state_.lock();
  state.wait({}, [](const State& now) { return now.tasks.empty() && now.running == 0; });
}

void WorkerPool::work() {
  for (;;) {
    std::function<void()> task;
    {
      auto state = state_.lock();
      state.wait({}, [](const State& now) { return now.ending || !now.tasks.empty(); });
      if (state->tasks.empty()) return;
      task = std::move(state->tasks.front());
      state->tasks.pop_front();
      ++state->running;
    }
    task();
    task = nullptr;  // what it holds goes before it counts as done
    --state_.lock()->running;
    state_.notify_all();
  }
}

}  // namespace hitfs
