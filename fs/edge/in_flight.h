#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <unordered_map>
#include <vector>

#include "fs/slots/slots.h"
#include "store/base/clock.h"
#include "store/base/guarded.h"

namespace hitfs::fs {

// Which slot each unanswered request of this worker lies in, and which slots are free. It decides when a slot may be
// used again: only when its reply was sent *and* no thread looks at its request any more.
//
//   take_large -> (read) -> begin -> (carry out) -> finish      the reader's thread
//                             claim -> (send) -> complete       the thread that replies: before or after finish
//
// Safe from several threads.
class InFlight {
 public:
  // All slots count as free except those in use, which wait to be settled. `memory` outlives it.
  explicit InFlight(SlotMemory& memory);

  // A free large slot, prepared for a read; waits for one. Nothing when `stop` was requested.
  std::optional<SlotIndex> take_large(std::stop_token stop);
  // Puts back a slot in which no request came to lie.
  void give_back(SlotIndex slot);

  // A thread begins to carry out the request in `slot`.
  void begin(uint64_t unique, SlotIndex slot);

  // What became of a request when its handler returned.
  struct Finished {
    bool unanswered = false;   // the reply comes later; the request was moved into a small slot
    bool no_room = false;      // the same, but no small slot was free (or the request is too large for one)
    bool interrupted = false;  // an INTERRUPT came for an unanswered request while its handler ran
  };
  Finished finish(uint64_t unique, SlotIndex slot);

  // Gives the right to answer to one caller: nothing when it is answered already or unknown. complete() must follow.
  std::optional<SlotIndex> claim(uint64_t unique);
  // The reply was sent: the slot is freed.
  void complete(uint64_t unique);

  // False when the request is not known (yet): the kernel shall ask again.
  bool interrupt(uint64_t unique);

  // A LOOKUP of a name in this directory waits: the kernel holds the directory's lock.
  [[nodiscard]] bool waits_in(uint64_t directory);
  // No handler runs; false when `until` passed first.
  bool wait_idle(const Deadline& until);

 private:
  struct Request {
    SlotIndex slot = 0;
    bool running = true;
    bool claimed = false;
    bool interrupted = false;
  };
  struct State {
    std::unordered_map<uint64_t, Request> requests;
    std::vector<SlotIndex> free_large;
    std::vector<SlotIndex> free_small;
    std::unordered_map<uint64_t, uint32_t> parked_lookups;  // by directory
    size_t running = 0;
  };
  void free_locked(State& state, SlotIndex slot);
  Finished park_locked(State& state, Request& request);
  void count_parked_locked(State& state, SlotIndex slot, int change);

  SlotMemory* memory_;
  Guarded<State> state_;
};

}  // namespace hitfs::fs
