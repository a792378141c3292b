#pragma once

#include <functional>
#include <optional>

#include "cli/supervisor/event_loop.h"
#include "store/base/result.h"

namespace hitfs {

// Asks a process of ours, by HTTP, whether it still answers; any answer will do. Build tools wait without a limit for a
// listener that hangs, and a daemon that hangs costs a time limit at every question. Belongs to the loop's thread and
// never blocks.
class HealthProbe {
 public:
  // A new connection to the process, not blocking. An Error means "not now" and is no silence: nobody listens, or so
  // many wait already that this one cannot.
  using Connect = std::function<Result<UniqueFd>()>;
  HealthProbe(EventLoop& loop, pid_t process, Connect connect)
      : loop_(loop), process_(process), connect_(std::move(connect)) {}
  ~HealthProbe() { end(); }
  HealthProbe(const HealthProbe&) = delete;
  HealthProbe& operator=(const HealthProbe&) = delete;

  // Asks, unless a question is open. Call it about once a second.
  void ask();
  // For how long the open question has had no answer; 0 without one.
  [[nodiscard]] Milliseconds silent_for() const;
  // Whether it has used more than a hundredth of a CPU since the question: it may have its hands full, as a listener
  // with all the connections that it takes.
  [[nodiscard]] bool works() const;

 private:
  void end();

  EventLoop& loop_;
  const pid_t process_;
  Connect connect_;
  UniqueFd question_;
  MonotonicTime asked_{};
  Nanoseconds worked_{};  // its CPU time at the question
};

}  // namespace hitfs
