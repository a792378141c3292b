#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <stop_token>

#include "store/base/clock.h"

namespace hitfs {

// Where the time of one call went. `connect` holds name lookup, proxy and TLS; it is zero on a connection that was
// kept.
struct TransferTimes {
  Nanoseconds connect{0};
  Nanoseconds first_byte{0};  // from the request sent to the whole head of the answer
  Nanoseconds stalled{0};     // pauses within the body in which no byte came or went
  Nanoseconds transfer{0};    // the rest: bytes flowed, or were handled here
  uint64_t bytes = 0;         // of bodies, both directions

  // What a build loses beyond useful transfer.
  [[nodiscard]] Nanoseconds waited() const { return connect + first_byte + stalled; }
};

// Why a call failed, as far as the breaker treats it differently. Other failures (a status, a broken body, a full disk
// here) say nothing about whether the remote answers.
enum class Trouble {
  none,
  connect,    // refused, unreachable, unknown host, TLS refused, or no connection within the limit
  silent,     // connected, but no answer within the limit
  stalled,    // the body stopped for longer than the limit
  broken,     // the connection ended, or spoke no HTTP, before the answer was complete
  paced,      // 429 or 503: it asks to be left alone until `retry_after`
  cancelled,  // the caller's deadline or stop, not the remote
};

// One call of a remote: what it may take, and what it took. Lives on the caller's stack for the length of the call; one
// thread, except `waiting_since`, which a watcher may read.
struct RemoteCall {
  explicit RemoteCall(Deadline give_up = Deadline::never(), std::stop_token abort = {})
      : until(give_up), stop(std::move(abort)) {}
  RemoteCall(const RemoteCall&) = delete;
  RemoteCall& operator=(const RemoteCall&) = delete;

  const Deadline until;
  const std::stop_token stop;  // a request ends the call within milliseconds (not on a hanging shared drive)

  // Filled in by the remote, also when it fails.
  TransferTimes times;
  Trouble trouble = Trouble::none;
  std::optional<Milliseconds> retry_after;  // how long the remote asks to be left alone

  // Monotonic time of the last sign of life while this call waits for the other side; 0 while it is busy here.
  std::atomic<MonotonicTime::rep> waiting_since{0};
};

}  // namespace hitfs
