#pragma once

#include "store/base/clock.h"
#include "store/base/guarded.h"

namespace hitfs::testing {

// Time that stands still until a test moves it. Safe from several threads.
class FakeClock final : public Clock {
 public:
  MonotonicTime now() const override { return MonotonicTime(std::chrono::hours(1000)) + *offset_.lock(); }
  int64_t unix_ns() const override { return 1'700'000'000'000'000'000 + offset_.lock()->count(); }

  void advance(Nanoseconds by) { *offset_.lock() += by; }

 private:
  mutable Guarded<Nanoseconds> offset_{Nanoseconds(0)};
};

}  // namespace hitfs::testing
