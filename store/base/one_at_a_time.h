#pragma once

#include <optional>
#include <utility>

#include "store/base/clock.h"
#include "store/base/guarded.h"

namespace hitfs {

// For a thing that one thread at a time may do and that takes longer than a lock may be held (a request to another
// process): `auto turn = sending_.take(until);`. Safe from any thread; must outlive its turns.
class OneAtATime {
 public:
  // Ends with its scope, an exception included.
  class Turn {
   public:
    Turn(Turn&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (owner_ == nullptr) return;
      *owner_->taken_.lock() = false;
      owner_->taken_.notify_all();
    }

   private:
    friend class OneAtATime;
    explicit Turn(OneAtATime* owner) : owner_(owner) {}
    OneAtATime* owner_;
  };

  // Waits for the turn of another thread to end; nothing when the deadline comes first.
  [[nodiscard]] std::optional<Turn> take(const Deadline& until) {
    auto taken = taken_.lock();
    if (!taken.wait_until({}, until.when(), [](bool now) { return !now; })) return std::nullopt;
    *taken = true;
    return Turn(this);
  }

 private:
  Guarded<bool> taken_{false};
};

}  // namespace hitfs
