#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fs/slots/slot_format.h"
#include "store/base/clock.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs::fs {

using SlotIndex = uint32_t;  // large slots first, then small ones

// The shared memory of one mount: request slots, the saved INIT, counters and references (fs/slots/slot_format.h). The
// supervisor creates it, keeps the descriptor and looks; workers attach to the inherited descriptor and work in it.
// Contents outlive any worker. Functions on different slots are safe from several threads and processes at once; one
// slot belongs to one thread at a time (InFlight sees to that in a worker).
class SlotMemory {
 public:
  // A new memfd with all slots free; O_CLOEXEC.
  static Result<SlotMemory> create();
  // Maps an inherited memfd, whose number stays open and owned by the caller. `resident` makes every slot's page
  // present, so that the kernel never faults while it copies a request: what a worker needs. `invalid_argument` when it
  // was laid out by another version, `corrupt` when what was saved of INIT cannot be that.
  enum class Pages { lazy, resident };
  static Result<SlotMemory> attach(int fd, Pages pages);

  // The same for the one who keeps it: it is descriptor() from then on.
  static Result<SlotMemory> adopt(UniqueFd fd);

  // Of the memfd made by create() or adopted, else -1.
  [[nodiscard]] int descriptor() const { return fd_.get(); }

  [[nodiscard]] format::Header& header() const { return *reinterpret_cast<format::Header*>(base()); }
  [[nodiscard]] format::Counters& counters() const { return header().counters; }
  [[nodiscard]] std::span<format::Reference> references() const;
  [[nodiscard]] format::SlotDescriptor& descriptor(SlotIndex slot) const;
  [[nodiscard]] std::span<std::byte> payload(SlotIndex slot) const;
  [[nodiscard]] static bool is_large(SlotIndex slot) { return slot < format::kLargeSlots; }

  // The request header in a slot; its length is 0 when the slot is free.
  [[nodiscard]] fuse_in_header& request(SlotIndex slot) const;
  [[nodiscard]] bool in_use(SlotIndex slot) const;
  [[nodiscard]] std::vector<SlotIndex> slots_in_use() const;
  // The request of a slot in use, with its arguments: at least a header, at most the slot, whatever length it claims.
  [[nodiscard]] std::span<std::byte> request_bytes(SlotIndex slot) const;

  // Makes a free slot ready for the next read(2).
  void prepare(SlotIndex slot);
  // The slot is free from here on, whenever the worker dies.
  void clear(SlotIndex slot);
  // Copies a request into the free `small` slot, then frees `large`. A death in between leaves both, with one unique.
  void move(SlotIndex large, SlotIndex small);
  // Keeps the reply to be sent, when it is short enough: false when it is not.
  bool store_reply(SlotIndex slot, std::span<const std::span<const std::byte>> pieces);
  [[nodiscard]] std::span<const std::byte> stored_reply(SlotIndex slot) const;

  // For the supervisor. Answers every request that lies in a slot with a failure (a LOOKUP with "no such file") and
  // frees it: before a mount is given up, so that nobody waits for ever.
  void fail_all(int fuse_fd);

 private:
  struct Unmap {
    void operator()(std::byte* base) const;
  };
  SlotMemory(UniqueFd fd, std::byte* base) : fd_(std::move(fd)), base_(base) {}
  static Result<std::byte*> map(int fd, Pages pages);
  [[nodiscard]] std::byte* base() const { return base_.get(); }

  UniqueFd fd_;
  std::unique_ptr<std::byte, Unmap> base_;
};

}  // namespace hitfs::fs
