#pragma once

#include <mutex>

#include "fs/filesystem.h"
#include "fs/slots/slots.h"

namespace hitfs::fs {

// References in the shared memory: entry id -> names that the kernel holds. Survives workers. Sparse: a page of it
// takes memory when a number in it was counted first. One writing worker at a time; anybody may read.
//
// Each step is one store that leaves the table whole, so a death between two of them costs at most a count too many,
// never one too few: bytes then stay until the end of the mount. So do those of all entries once the table was full:
// what did not fit may be theirs.
class ReferenceTable final : public References {
 public:
  // `memory` outlives the table.
  explicit ReferenceTable(SlotMemory& memory) : ReferenceTable(memory.references()) {}
  // Over zeroed memory of any power of two in places.
  explicit ReferenceTable(std::span<format::Reference> table) : table_(table) {}

  void add(uint64_t entry_id, uint64_t count) override;
  // Dropping more than there are, or of an unknown entry, is ignored.
  void drop(uint64_t entry_id, uint64_t count) override;
  [[nodiscard]] uint64_t count(uint64_t entry_id) const override;

 private:
  [[nodiscard]] size_t start_of(uint64_t key) const;
  [[nodiscard]] size_t after(size_t place) const { return (place + 1) & (table_.size() - 1); }
  [[nodiscard]] size_t before(size_t place) const { return (place - 1) & (table_.size() - 1); }
  [[nodiscard]] format::Reference* find(uint64_t key) const;
  void give_back(format::Reference* place);
  static void raise(format::Reference& place, uint64_t by);

  std::span<format::Reference> table_;
  mutable std::mutex mutex_;
};

}  // namespace hitfs::fs
