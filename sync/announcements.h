#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "store/base/guarded.h"
#include "store/key.h"

namespace hitfs {

// Keys that a remote is known to have and that are not here: those of a run list that a prewarm has not pulled (yet),
// and those of entries that were evicted. A hint: a mount of a layout whose tool asks by rows in a database may ask for
// these at their lookup, and for no others. Lost with the daemon. Bounded: the oldest go. Safe from several threads.
class Announcements {
 public:
  static constexpr size_t kMost = 50'000;

  // `added` is called after each add() that brought something new; it outlives this.
  explicit Announcements(std::function<void()> added) : added_(std::move(added)) {}

  void add(const std::vector<Key>& keys);
  // It is here, or could not be had: whoever asks again would wait in vain.
  void drop(const Key& key);

  // Those that were added after `number` and are still announced; `next` is what to go on from.
  struct Page {
    uint64_t next = 0;
    std::vector<Key> keys;
  };
  [[nodiscard]] Page after(uint64_t number);

 private:
  struct State {
    std::map<uint64_t, Key> keys;  // in the order in which they came
    std::map<Key, uint64_t> numbers;
    uint64_t last = 0;
  };
  const std::function<void()> added_;
  Guarded<State> state_;
};

}  // namespace hitfs
