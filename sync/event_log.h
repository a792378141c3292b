#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <set>
#include <string>

#include "store/base/clock.h"
#include "store/base/guarded.h"
#include "store/daemon_client.h"
#include "sync/timer_queue.h"

namespace hitfs {

// What the daemon tells its fronts: numbered without gaps from 1 within an epoch (this daemon's life), kept in a
// bounded ring. A front asks with the number of the last event it has handled, which also acknowledges it. Safe from
// several threads.
class EventLog {
 public:
  static constexpr size_t kKept = 10'000;
  static constexpr Milliseconds kLongPoll{30'000};

  // `timers` outlives it.
  explicit EventLog(TimerQueue& timers);

  void add(DaemonEvent::Kind kind, const Key& key, uint64_t entry_id);

  // Answers as soon as there is something after `after`, or empty after kLongPoll. Another epoch, or a number that
  // has left the ring, gives a reset with everything that is kept.
  void poll(const std::string& front, const std::string& epoch, uint64_t after, std::function<void(EventBatch)> done);

  // A front that says that it ends: nobody waits for it any more.
  void forget(const std::string& front);

  // Asks every front that is polling for its uses and calls `done` when each has handled that, at the latest after
  // `patience`.
  void collect_reports(Milliseconds patience, std::function<void()> done);

 private:
  struct Waiter {
    uint64_t id;
    uint64_t after;
    std::function<void(EventBatch)> done;
    TimerQueue::Ticket timeout;
  };
  struct Collection {
    uint64_t number;
    std::set<std::string> waits_for;  // fronts
    std::function<void()> done;
    TimerQueue::Ticket timeout;
  };
  struct State {
    std::deque<DaemonEvent> kept;
    uint64_t last_number = 0;
    uint64_t last_waiter = 0;
    std::list<Waiter> waiters;
    std::list<Collection> collections;
    std::map<std::string, MonotonicTime> fronts;  // when each was last seen
  };

  EventBatch batch_locked(const State& state, uint64_t after) const;
  uint64_t add_locked(State& state, DaemonEvent::Kind kind, const Key& key, uint64_t entry_id);
  void answer_waiters();
  void wait_timed_out(uint64_t waiter_id);
  void collection_timed_out(uint64_t number);
  void note_handled(const std::string& front, uint64_t number);

  TimerQueue& timers_;
  const std::string epoch_;
  Guarded<State> state_;
};

}  // namespace hitfs
