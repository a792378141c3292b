#pragma once

#include <optional>

#include "fs/slots/slots.h"
#include "store/base/clock.h"

namespace hitfs::fs {

// Says for how long a worker has left a local request without an answer. Callers of a stalled worker hang and are
// immune to SIGKILL, so the supervisor kills it. It looks at the slots, and at the kernel's queue for a worker that
// does not read any more. Parked requests (they wait for a remote) and syncs (they wait for a disk) do not count. Never
// blocks.
//
// One thread. Memory and descriptor outlive it.
class StallDetector {
 public:
  StallDetector(SlotMemory& memory, int fuse_fd, const Clock& clock = system_clock())
      : memory_(&memory), fuse_fd_(fuse_fd), clock_(&clock) {}

  // Call it about once a second.
  [[nodiscard]] Milliseconds stalled_for();
  // Before a stalled worker is killed: notes in each slot whose request is older than `limit` that it brought a worker
  // down. At the second time the next worker answers it with EIO instead of carrying it out.
  void blame(Milliseconds limit);
  // A new worker was started: what the old one left undone starts anew.
  void worker_replaced();

 private:
  [[nodiscard]] int64_t now_ns() const { return clock_->now().time_since_epoch().count(); }
  // The age of a local request that is carried out; nothing for any other slot.
  [[nodiscard]] std::optional<int64_t> age_ns(SlotIndex slot, int64_t now);
  [[nodiscard]] int64_t queue_age_ns(int64_t now);

  SlotMemory* memory_;
  int fuse_fd_;
  const Clock* clock_;
  uint64_t last_read_ = 0;     // counter at the last look
  int64_t queued_since_ = -1;  // when the kernel's queue was first seen waiting with nothing read since; -1 for never
};

}  // namespace hitfs::fs
