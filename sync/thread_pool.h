#pragma once

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "store/base/guarded.h"

namespace hitfs {

// Runs jobs in the order they come, on at most `threads` threads that start when they are first needed. Destroying it
// finishes the running jobs and drops the waiting ones. Safe from several threads.
class ThreadPool {
 public:
  explicit ThreadPool(size_t threads) : most_(threads) {}
  ~ThreadPool();

  void submit(std::function<void()> job);

 private:
  struct State {
    std::deque<std::function<void()>> waiting;
    size_t idle = 0;
    std::vector<std::jthread> threads;
  };
  void serve(const std::stop_token& stop);

  const size_t most_;
  Guarded<State> state_;
};

}  // namespace hitfs
