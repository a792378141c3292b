#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "store/base/clock.h"
#include "store/base/guarded.h"

namespace hitfs::fs {

enum class CommitOutcome {
  committed,  // it is an entry now (or need not become one any more)
  later,      // the daemon is away: tried again on resume() and after a pause
  kept,       // it stays a name of this mount for good
  refused,    // it does not become an entry now (no room); tried again on resume() and after minutes
};

// Frozen trees on their way to the daemon, handed over by a few threads of its own, so that durable commits share a
// flush. Trees of one name go in the order in which they were completed. Safe from several threads. The destructor
// waits for commits that are under way.
class CommitQueue {
 public:
  // Hands one tree over; runs on a thread of the queue, and may wait for the daemon.
  using Commit = std::function<CommitOutcome(uint64_t tree, const std::stop_token& stop)>;
  CommitQueue(const Clock& clock, Commit commit);
  ~CommitQueue();

  // Waits for commits that are under way and begins no more; who waits for one hears false. The destructor does it too.
  void stop();

  void add(uint64_t tree, const std::string& name);
  // Everything that waits is tried now.
  void resume();
  // So are those of this name that were refused.
  void again(const std::string& name);
  // Waiting or under way; not what was refused.
  [[nodiscard]] size_t waiting();

  // Calls `done` once, on a thread of the queue or on the caller's: with true when all `trees` are entries (or stay
  // here), with false as soon as one is put off or refused, or when `patience` is over.
  using Settled = std::function<void(bool)>;
  void when_settled(std::set<uint64_t> trees, Milliseconds patience, Settled done);

 private:
  struct Job {
    std::string name;
    enum class State { waiting, running, refused } state = State::waiting;
    MonotonicTime due{};
    int failures = 0;
  };
  struct Waiter {
    std::set<uint64_t> trees;
    MonotonicTime deadline;
    Settled done;
  };
  struct State {
    std::map<uint64_t, Job> jobs;
    std::map<std::string, std::set<uint64_t>> by_name;
    std::vector<Waiter> waiters;
    uint64_t changes = 0;
  };

  void run(const std::stop_token& stop);
  void watch_waiters(const std::stop_token& stop);
  std::optional<uint64_t> next(State& state, MonotonicTime& due) const;
  void try_again(State& state, uint64_t tree, Job& job) const;
  void settle(uint64_t tree, CommitOutcome outcome);
  void wake();

  const Clock& clock_;
  Commit commit_;
  Guarded<State> state_;
  std::vector<std::jthread> threads_;
};

}  // namespace hitfs::fs
