#pragma once

#include <cstdint>
#include <string>

#include "store/base/backoff.h"
#include "store/base/clock.h"
#include "store/base/guarded.h"
#include "sync/remotes/remote_call.h"

namespace hitfs {

// Draws are in sync/README.md, section "The breaker".
enum class BreakerState {
  closed,     // calls go through; a connect failure, a silent answer, a stall or trip() opens it
  open,       // calls are refused at once; begin_probe() moves on to half_open when the pause is over
  half_open,  // one probe is under way, other calls are refused; end_probe() closes it or opens it again
};

[[nodiscard]] const char* to_string(BreakerState state);

struct BreakerStatus {
  BreakerState state = BreakerState::closed;
  std::string why;             // of the last opening; "" when it never was
  int64_t since_ms = 0;        // unix time of the last change
  Milliseconds probe_in{0};    // while open: until the next probe
  uint64_t opened = 0;         // how often it left `closed`
  uint64_t refused = 0;        // calls answered at once because of it
  uint64_t failed_probes = 0;  // one after the other; 0 while closed
};

// Decides whether a remote is asked at all, so that one outage costs one timeout. Only decides: GuardedRemote asks it,
// reports to it and sends the probe. Safe from several threads; never blocks.
class Breaker {
 public:
  struct Options {
    Milliseconds first_pause{1'000};  // before the first probe; doubles up to most_pause, spread at random
    Milliseconds most_pause{5'000};   // a server that is back serves hits again within ten seconds
  };
  Breaker() : Breaker(Options{}) {}
  explicit Breaker(const Options& options, const Clock& clock = system_clock());

  // May a call go out now? A refusal is counted.
  [[nodiscard]] bool allow();
  // As allow(), for those who only want to know.
  [[nodiscard]] bool allows();

  // What became of a question somebody may be waiting for (fetch, contains). Success never closes an open breaker: a
  // transfer that began before the outage says nothing. Returns true when this opened it.
  bool report(const RemoteCall& call, const std::string& why);
  // What became of an upload or removal, which nobody waits for: only a failed connect opens. Servers may take long to
  // answer a large upload.
  bool report_background(const RemoteCall& call, const std::string& why);
  // Opens it: waiting for this remote used up a build's budget, or a call hangs. Returns true when it was closed.
  bool trip(const std::string& why);

  // When the next probe may go out; MonotonicTime::max() unless open.
  [[nodiscard]] MonotonicTime probe_due();
  // True for the one caller that is to probe now.
  [[nodiscard]] bool begin_probe();
  void end_probe(bool alive, const std::string& why);

  [[nodiscard]] BreakerStatus status();

 private:
  struct Inside {
    explicit Inside(const Options& options) : pauses(options.first_pause, options.most_pause) {}
    BreakerState state = BreakerState::closed;
    Backoff pauses;
    MonotonicTime probe_due = MonotonicTime::max();
    std::string why;
    int64_t since_ms = 0;
    uint64_t opened = 0, refused = 0, failed_probes = 0;
  };
  // The one place where the state changes.
  void enter_locked(Inside& inside, BreakerState next);

  const Clock& clock_;
  Guarded<Inside> inside_;
};

}  // namespace hitfs
