#include "store/base/clock.h"

#include <algorithm>

namespace hitfs {

namespace {

class SystemClock final : public Clock {
 public:
  MonotonicTime now() const override { return std::chrono::steady_clock::now(); }
  int64_t unix_ns() const override {
    return std::chrono::duration_cast<Nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

Milliseconds Deadline::left(const Clock& clock) const {
  constexpr Milliseconds kDay = std::chrono::hours(24);
  if (when_ == MonotonicTime::max()) return kDay;
  auto left = std::chrono::ceil<Milliseconds>(when_ - clock.now());
  return std::clamp(left, Milliseconds::zero(), kDay);
}

}  // namespace hitfs
