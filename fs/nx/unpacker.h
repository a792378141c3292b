#pragma once

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "store/base/guarded.h"
#include "store/daemon_client.h"

namespace hitfs::fs {

// Asks the daemon to unpack entries that came as artifacts, one after the other on a thread of its own, so that a mount
// can show them. Whoever begins to use the mount may wait for that, for a while. Safe from several threads.
class Unpacker {
 public:
  static constexpr Milliseconds kPatience{5000};

  // `daemon` outlives it.
  Unpacker(DaemonClient& daemon, std::string space);
  ~Unpacker() { stop(); }
  void stop();  // who still waits is called

  // Behind those that wait already; one that waits is not asked for twice.
  void add(std::vector<std::string> names);
  // Calls `done` when nothing waits any more, or about kPatience later; here and now when nothing does.
  void when_done(std::function<void()> done);

 private:
  struct Waiter {
    Deadline until;
    std::function<void()> done;
  };
  struct State {
    std::deque<std::string> names;
    std::unordered_set<std::string> known;
    std::vector<Waiter> waiters;
    bool working = false;
  };
  void run(const std::stop_token& stop);
  void unpack(const std::string& name);
  void answer_waiters(bool all);

  DaemonClient& daemon_;
  const std::string space_;
  Guarded<State> state_;
  std::jthread thread_;
};

}  // namespace hitfs::fs
