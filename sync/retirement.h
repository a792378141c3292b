#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "store/base/guarded.h"
#include "store/entry_store.h"
#include "store/store_paths.h"
#include "sync/event_log.h"
#include "sync/timer_queue.h"

namespace hitfs {

// The way of a retired entry: hidden in the index -> every live mount is told and lets go of its numbers -> bytes
// freed. No time limit frees bytes: an open or mapped file sends no request for hours. A mount lives as long as its
// supervisor holds staging/<mount>/mount.lock, so that a killed worker changes nothing. Safe from several threads.
class Retirement {
 public:
  // All outlive it.
  Retirement(EntryStore& store, EventLog& events, TimerQueue& timers, StorePaths paths);
  ~Retirement();

  // Announces the entries that a daemon before left retired.
  void resume();
  void on_retired(const Entry& entry);
  // `mount` has no kernel reference to these any more.
  void released(const std::string& mount, const std::vector<uint64_t>& entry_ids);

 private:
  struct State {
    std::map<uint64_t, std::set<std::string>> held_by;  // retired entry -> mounts that have not let go
    std::optional<TimerQueue::Ticket> next_check;
  };
  void check_mounts();
  void free_bytes(const std::vector<uint64_t>& entry_ids);
  void schedule_check_locked(State& state);

  EntryStore& store_;
  EventLog& events_;
  TimerQueue& timers_;
  const StorePaths paths_;
  Guarded<State> state_;
};

}  // namespace hitfs
