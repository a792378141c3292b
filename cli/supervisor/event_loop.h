#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "store/base/clock.h"
#include "store/base/guarded.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs {

// One thread that waits for descriptors, signals, ends of children and points in time, and calls back. Everything but
// post() belongs to the thread that runs it; callbacks may add and remove anything, themselves included, and must not
// block.
class EventLoop {
 public:
  using Callback = std::function<void()>;
  using TimerId = uint64_t;

  // Blocks SIGCHLD, SIGTERM, SIGINT and SIGHUP in the calling thread: make it before any other thread starts, so that
  // they inherit that. The old mask comes back with the destructor.
  static Result<std::unique_ptr<EventLoop>> create();
  ~EventLoop();

  // Level-triggered: `ready` is called while the descriptor is readable or its other end is gone.
  void watch(int descriptor, Callback ready);
  void forget(int descriptor);

  TimerId after(Milliseconds pause, Callback due);
  void cancel(TimerId timer);

  // `terminated` for SIGTERM and SIGINT, and for SIGHUP as long as nobody else wants that.
  void on_terminate(Callback terminated) { terminated_ = std::move(terminated); }
  void on_hangup(Callback hung_up) { hung_up_ = std::move(hung_up); }
  // Calls `ended` with the wait status once, when that child of ours ends. What a killed mount worker leaves behind
  // (its notify process, its undertaker) becomes our child and is reaped without a word.
  void on_exit(pid_t child, std::function<void(int status)> ended);

  // From any thread: runs `callback` soon on the loop's.
  void post(Callback callback);

  // Until stop().
  void run();
  void stop() { running_ = false; }

 private:
  struct Watch {
    int descriptor;
    Callback ready;
  };
  EventLoop() = default;
  Status open();
  void wait();
  void run_timers();
  void run_posted();
  void take_signals();
  void reap();
  void reap_adopted();
  [[nodiscard]] int milliseconds_to_timer() const;

  std::map<int, std::shared_ptr<Watch>> watches_;
  std::map<std::pair<MonotonicTime, TimerId>, Callback> timers_;
  std::map<pid_t, std::function<void(int)>> children_;
  Callback terminated_, hung_up_;
  TimerId last_timer_ = 0;
  bool running_ = false;
  sigset_t old_mask_{};
  UniqueFd signals_, wake_;
  Guarded<std::vector<Callback>> posted_;
};

}  // namespace hitfs
