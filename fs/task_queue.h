#pragma once

#include <deque>
#include <functional>
#include <stop_token>
#include <thread>
#include <vector>

#include "store/base/guarded.h"

namespace hitfs::fs {

// Threads that run tasks in the order in which they came. The destructor waits until all are done. Safe from several
// threads.
class TaskQueue {
 public:
  using Task = std::function<void()>;

  explicit TaskQueue(size_t threads) {
    for (size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
    }
  }

  void add(Task task) {
    waiting_.lock()->push_back(std::move(task));
    waiting_.notify_all();
  }

 private:
  void run(const std::stop_token& stop) {
    while (true) {
      Task task;
      {
        auto waiting = waiting_.lock();
        if (!waiting.wait(stop, [](const auto& tasks) { return !tasks.empty(); })) return;
        task = std::move(waiting->front());
        waiting->pop_front();
      }
      task();
    }
  }

  Guarded<std::deque<Task>> waiting_;
  std::vector<std::jthread> threads_;
};

}  // namespace hitfs::fs
