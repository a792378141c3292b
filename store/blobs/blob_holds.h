#pragma once

#include <cstddef>
#include <unordered_map>
#include <unordered_set>

#include "store/base/guarded.h"
#include "store/digest.h"

namespace hitfs {

// Blobs that intakes rely on before any row refers to them, so that a release at the same moment does not free them.
// Safe from several threads.
class BlobHolds {
 public:
  // Holds `digest` until drop(). False when its old bytes are being freed right now: then they must not be counted on,
  // though the hold stands.
  bool hold(const Digest& digest) {
    auto state = state_.lock();
    ++state->held[digest];
    return !state->freeing.contains(digest);
  }

  void drop(const Digest& digest) {
    auto state = state_.lock();
    auto found = state->held.find(digest);
    if (found != state->held.end() && --found->second == 0) state->held.erase(found);
  }

  // Called by the one that frees: true when nobody holds `digest`; from then to freed() it counts as gone.
  bool begin_freeing(const Digest& digest) {
    auto state = state_.lock();
    if (state->held.contains(digest)) {
      state->skipped = true;
      return false;
    }
    state->freeing.insert(digest);
    return true;
  }

  void freed() { state_.lock()->freeing.clear(); }

  // Whether something could not be freed since the last call because it was held.
  bool take_skipped() { return std::exchange(state_.lock()->skipped, false); }

 private:
  struct State {
    std::unordered_map<Digest, size_t> held;
    std::unordered_set<Digest> freeing;
    bool skipped = false;
  };
  Guarded<State> state_;
};

}  // namespace hitfs
