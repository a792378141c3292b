#pragma once

#include <utility>

#include "store/base/guarded.h"

namespace hitfs {

// Counts requests that wander between thread pools and callbacks of the daemon's client, so that the end of the process
// can wait until none of them refers to either. Safe from several threads.
class WorkCount {
 public:
  class Ticket {
   public:
    explicit Ticket(WorkCount& count) : count_(&count) { ++*count_->open_.lock(); }
    Ticket(Ticket&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    Ticket& operator=(Ticket&&) = delete;
    ~Ticket() {
      if (!count_) return;
      // Notified under the lock: the one who waits may destroy the count as soon as it sees zero.
      auto open = count_->open_.lock();
      --*open;
      count_->open_.notify_all();
    }

   private:
    WorkCount* count_;
  };

  void wait_none() {
    auto open = open_.lock();
    open.wait({}, [](size_t count) { return count == 0; });
  }

 private:
  Guarded<size_t> open_{0};
};

}  // namespace hitfs
