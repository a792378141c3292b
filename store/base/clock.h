#pragma once

#include <chrono>
#include <cstdint>

namespace hitfs {

using Nanoseconds = std::chrono::nanoseconds;
using Milliseconds = std::chrono::milliseconds;
using MonotonicTime = std::chrono::steady_clock::time_point;

// Where time comes from, so that tests can move it. Safe to call from several threads.
class Clock {
 public:
  virtual ~Clock() = default;
  // For waits, deadlines and durations; never goes back.
  [[nodiscard]] virtual MonotonicTime now() const = 0;
  // Nanoseconds since 1970-01-01 UTC, for what is stored.
  [[nodiscard]] virtual int64_t unix_ns() const = 0;

  [[nodiscard]] int64_t unix_ms() const { return unix_ns() / 1'000'000; }
};

// The machine's clock; lives as long as the process.
[[nodiscard]] const Clock& system_clock();

// A point in monotonic time after which an operation gives up. Cheap to copy.
class Deadline {
 public:
  [[nodiscard]] static Deadline never() { return Deadline(MonotonicTime::max()); }
  [[nodiscard]] static Deadline after(Nanoseconds from_now, const Clock& clock = system_clock()) {
    return Deadline(clock.now() + from_now);
  }
  [[nodiscard]] static Deadline at(MonotonicTime when) { return Deadline(when); }

  [[nodiscard]] MonotonicTime when() const { return when_; }
  [[nodiscard]] bool passed(const Clock& clock = system_clock()) const { return clock.now() >= when_; }
  // Never negative; a day stands for "never", so that the value fits every library's timeout.
  [[nodiscard]] Milliseconds left(const Clock& clock = system_clock()) const;
  [[nodiscard]] Deadline or_earlier(Deadline other) const { return other.when_ < when_ ? other : *this; }

 private:
  explicit Deadline(MonotonicTime when) : when_(when) {}
  MonotonicTime when_;
};

}  // namespace hitfs
