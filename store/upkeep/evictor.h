#pragma once

#include <cstdint>
#include <vector>

#include "store/base/result.h"
#include "store/store_parts.h"

namespace hitfs {

class Evictor;

// Room that a commit may fill; given back when it is dropped, which is after the rows of the commit count themselves.
class Reservation {
 public:
  Reservation(Reservation&& other) noexcept
      : evictor_(std::exchange(other.evictor_, nullptr)), bytes_(other.bytes_), files_(other.files_) {}
  Reservation& operator=(Reservation&&) = delete;
  ~Reservation();

 private:
  friend class Evictor;
  Reservation(Evictor& evictor, uint64_t bytes, uint64_t files) : evictor_(&evictor), bytes_(bytes), files_(files) {}

  Evictor* evictor_;
  uint64_t bytes_;
  uint64_t files_;
};

// Keeps the store within its limits. Derived artifacts go first, then the entries that were used least recently: never
// pinned ones, and none that is to be pushed, unless the queue alone fills half of the store. What is retired counts as
// gone, although its bytes stay until it is released; but what waits for release may not be more than half a store.
// Safe from several threads.
class Evictor {
 public:
  // `parts` outlives it.
  explicit Evictor(StoreParts& parts) : parts_(parts) {}

  // Room for that much more, made if need be; `no_space` when even eviction cannot.
  Result<Reservation> reserve(uint64_t bytes, uint64_t files);

  // Retires entries until that much more fits or nothing is left to retire; gives what it retired.
  Result<std::vector<Entry>> make_room(uint64_t bytes, uint64_t files);

 private:
  friend class Reservation;
  struct Reserved {
    uint64_t bytes = 0;
    uint64_t files = 0;
  };
  [[nodiscard]] bool fits(const Counters& counters, uint64_t bytes, uint64_t files) const;
  Result<std::vector<Entry>> evict(uint64_t bytes, uint64_t files);
  // One step of eviction inside of a transaction; false when there is nothing more to evict.
  Result<bool> evict_one(Index& index, class RetiredRows& retired);

  StoreParts& parts_;
  Guarded<Reserved> reserved_;
};

}  // namespace hitfs
