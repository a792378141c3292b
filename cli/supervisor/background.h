#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "cli/supervisor/event_loop.h"
#include "store/base/guarded.h"

namespace hitfs {

// One thread for what may block (fusermount3, a stat in somebody's mount, a flush): jobs run in order, each followed by
// its answer on the loop's thread. The destructor drops what has not begun and waits for what has: every job has a
// limit of its own.
class Background {
 public:
  explicit Background(EventLoop& loop) : loop_(loop), thread_([this](std::stop_token stop) { serve(stop); }) {}

  template <typename T>
  void run(std::function<T()> job, std::function<void(T)> answer) {
    add([this, job = std::move(job), answer = std::move(answer)] {
      auto result = std::make_shared<T>(job());
      loop_.post([result, answer] { answer(std::move(*result)); });
    });
  }

 private:
  using Job = std::function<void()>;
  void add(Job job);
  void serve(std::stop_token stop);

  EventLoop& loop_;
  Guarded<std::deque<Job>> jobs_;
  std::jthread thread_;
};

}  // namespace hitfs
