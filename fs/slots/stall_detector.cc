#include "fs/slots/stall_detector.h"

#include <poll.h>

#include <algorithm>

namespace hitfs::fs {

namespace {

bool may_take_long(uint32_t opcode) { return opcode == FUSE_FSYNC || opcode == FUSE_FSYNCDIR; }

}  // namespace

std::optional<int64_t> StallDetector::age_ns(SlotIndex slot, int64_t now) {
  if (!memory_->in_use(slot) || may_take_long(memory_->request(slot).opcode)) return std::nullopt;
  auto& since = memory_->descriptor(slot).since_ns;
  // A worker that stopped between its read and the note of the time: the time is that of the first look.
  int64_t unknown = 0;
  since.compare_exchange_strong(unknown, now);
  int64_t noted = since;
  if (noted >= 0 && noted <= now) return now - noted;
  // A time that cannot be, from a worker that went wild: it counts from now on.
  since = now;
  return 0;
}

int64_t StallDetector::queue_age_ns(int64_t now) {
  uint64_t read = memory_->counters().read;
  pollfd waiting{fuse_fd_, POLLIN, 0};
  bool queued = ::poll(&waiting, 1, 0) > 0 && (waiting.revents & POLLIN) != 0;
  if (!queued || read != last_read_) queued_since_ = queued ? now : -1;
  if (queued && queued_since_ < 0) queued_since_ = now;
  last_read_ = read;
  return queued_since_ < 0 ? 0 : now - queued_since_;
}

Milliseconds StallDetector::stalled_for() {
  int64_t now = now_ns();
  int64_t oldest = queue_age_ns(now);
  int64_t parked_limit = Nanoseconds(parked_limit_).count();
  for (SlotIndex slot = 0; slot < format::kSlots; ++slot) {
    auto age = age_ns(slot, now);
    if (age) oldest = std::max(oldest, SlotMemory::is_large(slot) ? *age : *age - parked_limit);
  }
  return std::chrono::duration_cast<Milliseconds>(Nanoseconds(oldest));
}

void StallDetector::blame(Milliseconds limit) {
  int64_t now = now_ns();
  for (SlotIndex slot = 0; slot < format::kLargeSlots; ++slot) {
    auto age = age_ns(slot, now);
    if (age && Nanoseconds(*age) >= limit) ++memory_->descriptor(slot).crashes;
  }
}

void StallDetector::worker_replaced() {
  queued_since_ = -1;
  for (SlotIndex slot = 0; slot < format::kSlots; ++slot) memory_->descriptor(slot).since_ns = 0;
}

}  // namespace hitfs::fs
