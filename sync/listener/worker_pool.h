#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "store/base/guarded.h"

namespace hitfs {

// A few threads for work that may wait for a disk or for the daemon, so that the threads of the HTTP server never do.
// The queue is bounded by who fills it: at most one task per connection. The destructor runs what is queued, then ends.
class WorkerPool {
 public:
  explicit WorkerPool(int threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Safe from any thread, also from a task.
  void run(std::function<void()> task);
  // Waits until nothing is queued or running. What run() adds meanwhile is waited for as well.
  void wait_idle();

 private:
  struct State {
    std::deque<std::function<void()>> tasks;
    size_t running = 0;
    bool ending = false;
  };
  void work();

  Guarded<State> state_;
  std::vector<std::jthread> threads_;
};

}  // namespace hitfs
