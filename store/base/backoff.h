#pragma once

#include <algorithm>
#include <random>

#include "store/base/clock.h"

namespace hitfs {

// Pauses between tries: doubling from `first` up to `most`, each shortened by up to half at random so that
// many machines do not come back at the same moment. One owner, not thread-safe.
class Backoff {
 public:
  Backoff(Milliseconds first, Milliseconds most, uint32_t seed = std::random_device{}())
      : first_(first), most_(most), next_(first), random_(seed) {}

  [[nodiscard]] Milliseconds next() {
    auto whole = next_;
    next_ = std::min(next_ * 2, most_);
    std::uniform_int_distribution<int64_t> spread(whole.count() / 2, whole.count());
    return Milliseconds(spread(random_));
  }

  void reset() { next_ = first_; }

 private:
  Milliseconds first_;
  Milliseconds most_;
  Milliseconds next_;
  std::minstd_rand random_;
};

}  // namespace hitfs
