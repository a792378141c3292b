#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "store/base/clock.h"
#include "store/base/guarded.h"
#include "store/base/json.h"
#include "store/daemon_client.h"

namespace hitfs {

// What one build got from the cache: the numbers of the summary line.
struct SessionCounters {
  uint64_t hit = 0;        // distinct keys answered from the store
  uint64_t prewarmed = 0;  // of these, pulled before anybody asked
  uint64_t miss = 0;       // distinct keys that nobody had
  uint64_t pushed = 0;
  uint64_t refused = 0;    // pushes that a remote does not want
  uint64_t failed = 0;     // distinct keys that could not be looked up or pushed: a broken cache is no cold one
  Milliseconds waited{0};  // beyond useful transfer
};

[[nodiscard]] Json to_json(const SessionCounters& counters);

// What one build hit or stored, for its run list.
struct SessionKeys {
  struct Use {
    Key key;
    bool stored = false;  // else only hit
  };
  std::vector<Use> uses;  // in the order in which the build first used them
  bool cut = false;       // there were more than are remembered
};

// The builds that are under way (`hitfs run`, `start`). What happens belongs to each of them: a shared daemon cannot
// tell whose lookup it was. Each has a budget of waiting; while every open session has spent its own, lookups are
// instant misses. Without a session there is one implicit, whose budget is new after a quiet minute. Safe from several
// threads.
class Sessions {
 public:
  explicit Sessions(Milliseconds budget, const Clock& clock = system_clock());

  std::string begin();
  // Ends a session; nothing for an unknown one.
  std::optional<SessionCounters> end(const std::string& id);

  // What the build has hit and stored so far; nothing for an unknown one.
  std::optional<SessionKeys> keys(const std::string& id);

  void hit(const Key& key, bool prewarmed);
  // An entry that others may have was written on this machine.
  void stored(const Key& key);
  void missed(const Key& key);
  // The same where a tool looks names up without asking us (the rows of layout nx), told by what it then stores. Its
  // lookup may have been one that failed.
  void missed_unasked(const Key& key);
  void lookup_failed(const Key& key);
  void push_failed(const Key& key);
  void pushed();
  void refused();
  void waited(Milliseconds beyond_transfer);

  // What may still be waited; zero means: answer at once.
  [[nodiscard]] Milliseconds budget_left();
  // Since the daemon's start.
  [[nodiscard]] SessionCounters totals();
  [[nodiscard]] size_t open();

 private:
  struct Used {
    bool stored;   // else only hit
    size_t place;  // in the order of first uses
  };
  struct Session {
    SessionCounters counters;
    std::unordered_set<size_t> seen;  // hashes of keys counted; a collision miscounts one
    std::map<Key, Used> used;
    bool cut = false;  // there were more than `used` may hold
  };
  struct State {
    std::map<std::string, Session> open;
    SessionCounters totals;
    Milliseconds implicit_waited{0};
    MonotonicTime last_wait{};
  };
  void count(uint64_t SessionCounters::*counter);
  // Once per session for that key; `what` tells events of one key apart.
  void count_once(uint64_t SessionCounters::*counter, char what, const Key& key);

  static size_t event_of(char what, const Key& key) { return std::hash<std::string>{}(what + key.text()); }
  void note_use(const Key& key, bool stored);

  const Milliseconds budget_;
  const Clock& clock_;
  Guarded<State> state_;
};

}  // namespace hitfs
