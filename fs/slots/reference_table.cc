#include "fs/slots/reference_table.h"

#include <algorithm>

#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};

// A key that is never an entry: its count says how many references did not fit into the table.
constexpr uint64_t kOverflow = ~uint64_t{0};
// A chain longer than this is a full table.
constexpr size_t kLongestChain = 4096;

}  // namespace

size_t ReferenceTable::start_of(uint64_t key) const {
  // Fibonacci hashing; the table's size is a power of two.
  return (key * 0x9E3779B97F4A7C15ull) >> 32 & (table_.size() - 1);
}

format::Reference* ReferenceTable::find(uint64_t key) const {
  size_t place = start_of(key);
  for (size_t step = 0; step < kLongestChain; ++step, place = after(place)) {
    uint64_t there = table_[place].key.load(std::memory_order_acquire);
    if (there == key) return &table_[place];
    if (there == 0) return nullptr;
  }
  return nullptr;
}

// A count that a worker left that went wild never comes round to nothing.
void ReferenceTable::raise(format::Reference& place, uint64_t by) {
  uint64_t now = place.count;
  place.count = now + std::min(by, UINT64_MAX - now);
}

void ReferenceTable::add(uint64_t entry_id, uint64_t count) {
  std::lock_guard lock(mutex_);
  format::Reference* place = find(entry_id);
  size_t at = start_of(entry_id);
  for (size_t step = 0; place == nullptr && step < kLongestChain; ++step, at = after(at)) {
    auto& candidate = table_[at];
    if (candidate.key != 0 && candidate.count != 0) continue;
    candidate.count = 0;
    candidate.key.store(entry_id, std::memory_order_release);
    place = &candidate;
  }
  if (place == nullptr) {
    // Entry ids differ from kOverflow and from 0, so the last place can stand for all that did not fit.
    auto& overflow = table_[table_.size() - 1];
    if (overflow.key.exchange(kOverflow) != kOverflow) kLog.warn("references_full remedy=\"mount again\"");
    raise(overflow, count);
    return;
  }
  raise(*place, count);
}

void ReferenceTable::drop(uint64_t entry_id, uint64_t count) {
  std::lock_guard lock(mutex_);
  auto* place = find(entry_id);
  if (place == nullptr) return;
  uint64_t now = place->count;
  place->count = now - std::min(now, count);
  if (place->count == 0) give_back(place);
}

// A place without count at the end of its chain becomes empty again, and so do those before it: chains stay short.
void ReferenceTable::give_back(format::Reference* freed) {
  auto place = static_cast<size_t>(freed - table_.data());
  if (table_[after(place)].key != 0) return;
  while (table_[place].key != 0 && table_[place].key != kOverflow && table_[place].count == 0) {
    table_[place].key.store(0, std::memory_order_release);
    place = before(place);
  }
}

// What did not fit may be anybody's, also of an entry that has got a place since.
uint64_t ReferenceTable::count(uint64_t entry_id) const {
  std::lock_guard lock(mutex_);
  const auto& last = table_[table_.size() - 1];
  uint64_t more = last.key == kOverflow ? last.count.load() : 0;
  auto* place = find(entry_id);
  uint64_t own = place == nullptr ? 0 : place->count.load();
  return own + std::min(more, UINT64_MAX - own);
}

}  // namespace hitfs::fs
