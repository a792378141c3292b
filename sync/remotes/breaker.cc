#include "sync/remotes/breaker.h"

#include <algorithm>

namespace hitfs {

const char* to_string(BreakerState state) {
  switch (state) {
    case BreakerState::closed: return "closed";
    case BreakerState::open: return "open";
    case BreakerState::half_open: return "half open";
  }
  return "unknown";
}

Breaker::Breaker(const Options& options, const Clock& clock) : clock_(clock), inside_(Inside(options)) {}

void Breaker::enter_locked(Inside& inside, BreakerState next) {
  switch (next) {
    case BreakerState::closed:
      inside.pauses.reset();
      inside.failed_probes = 0;
      inside.probe_due = MonotonicTime::max();
      break;
    case BreakerState::open:
      if (inside.state == BreakerState::closed) ++inside.opened;
      inside.probe_due = clock_.now() + inside.pauses.next();
      break;
    case BreakerState::half_open: inside.probe_due = MonotonicTime::max(); break;
  }
  inside.state = next;
  inside.since_ms = clock_.unix_ms();
}

bool Breaker::allows() { return inside_.lock()->state == BreakerState::closed; }

bool Breaker::allow() {
  auto inside = inside_.lock();
  if (inside->state == BreakerState::closed) return true;
  ++inside->refused;
  return false;
}

bool Breaker::report(const RemoteCall& call, const std::string& why) {
  switch (call.trouble) {
    case Trouble::connect:
    case Trouble::silent:
    case Trouble::stalled: return trip(why);
    case Trouble::none:
    case Trouble::broken:
    case Trouble::paced:
    case Trouble::cancelled: return false;
  }
  return false;
}

bool Breaker::report_background(const RemoteCall& call, const std::string& why) {
  return call.trouble == Trouble::connect && trip(why);
}

bool Breaker::trip(const std::string& why) {
  auto inside = inside_.lock();
  if (inside->state != BreakerState::closed) return false;
  inside->why = why;
  enter_locked(*inside, BreakerState::open);
  return true;
}

MonotonicTime Breaker::probe_due() { return inside_.lock()->probe_due; }

bool Breaker::begin_probe() {
  auto inside = inside_.lock();
  if (inside->state != BreakerState::open || clock_.now() < inside->probe_due) return false;
  enter_locked(*inside, BreakerState::half_open);
  return true;
}

void Breaker::end_probe(bool alive, const std::string& why) {
  auto inside = inside_.lock();
  if (inside->state != BreakerState::half_open) return;
  if (!alive) inside->why = why;
  if (!alive) ++inside->failed_probes;
  enter_locked(*inside, alive ? BreakerState::closed : BreakerState::open);
}

BreakerStatus Breaker::status() {
  auto inside = inside_.lock();
  BreakerStatus status{inside->state,  inside->why,     inside->since_ms,     Milliseconds(0),
                       inside->opened, inside->refused, inside->failed_probes};
  if (inside->state == BreakerState::open) status.probe_in = Deadline::at(inside->probe_due).left(clock_);
  return status;
}

}  // namespace hitfs
