#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <stop_token>
#include <string_view>
#include <vector>

#include "store/access_log.h"
#include "store/base/guarded.h"
#include "store/key.h"
#include "store/store_reader.h"

namespace hitfs {

// Keys that a remote is known to have and that are not here: those of a run list that a prewarm has not pulled (yet),
// and those of entries that were evicted. A hint: a mount of a layout whose tool asks by rows in a database may ask for
// these at their lookup, and for no others. Lost with the daemon. Bounded: the oldest go. Safe from several threads.
class Announcements {
 public:
  static constexpr size_t kMost = 50'000;

  // `added` is called when something new came since the last after(); it outlives this.
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
    bool told = false;  // since the last after()
  };
  const std::function<void()> added_;
  Guarded<State> state_;
};

// Why entries go whose key has another one now.
inline constexpr std::string_view kReplaced = "replaced";

// What the access log tells of entries that are no longer here, the oldest first: their keys may be had again.
[[nodiscard]] std::vector<Key> evicted_before(AccessLog& log, StoreReader& reader, const std::stop_token& stop);

}  // namespace hitfs
