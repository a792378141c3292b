#pragma once

#include <optional>

#include "fs/slots/slots.h"
#include "store/base/clock.h"

namespace hitfs::fs {

// Says for how long a worker has left a local request without an answer. Callers of a stalled worker hang and are
// immune to SIGKILL, so the supervisor kills it. It looks at the slots, and at the kernel's queue for a worker that
// does not read any more. A parked request (it waits for a remote) counts only from `parked_limit` on: one that waits
// holds its directory, so that it may be all that a worker which does nothing any more has. Syncs (they wait for a
// disk) do not count. Never blocks.
//
// One thread. Memory and descriptor outlive it.
class StallDetector {
 public:
  StallDetector(SlotMemory& memory, int fuse_fd, Milliseconds parked_limit, const Clock& clock = system_clock())
      : memory_(&memory), fuse_fd_(fuse_fd), parked_limit_(parked_limit), clock_(&clock) {}

  // Call it about once a second.
  [[nodiscard]] Milliseconds stalled_for();
  // Before a stalled worker is killed: notes in each slot whose request is older than `limit` that it brought a worker
  // down. At the second time the next worker answers it with EIO instead of carrying it out.
  void blame(Milliseconds limit);
  // A new worker was started: what the old one left undone starts anew.
  void worker_replaced();

 private:
  [[nodiscard]] int64_t now_ns() const { return clock_->now().time_since_epoch().count(); }
  // The age of the request in a slot; nothing for a free one and for what may take long.
  [[nodiscard]] std::optional<int64_t> age_ns(SlotIndex slot, int64_t now);
  [[nodiscard]] int64_t queue_age_ns(int64_t now);

  SlotMemory* memory_;
  int fuse_fd_;
  Milliseconds parked_limit_;
  const Clock* clock_;
  uint64_t last_read_ = 0;     // counter at the last look
  int64_t queued_since_ = -1;  // when the kernel's queue was first seen waiting with nothing read since; -1 for never
};

}  // namespace hitfs::fs
