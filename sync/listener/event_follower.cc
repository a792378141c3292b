#include "sync/listener/event_follower.h"

#include <algorithm>

#include "store/base/backoff.h"
#include "store/base/guarded.h"

namespace hitfs {

namespace {

// The daemon answers a long poll after about 30 s.
constexpr Milliseconds kPollLimit{45'000};
constexpr Milliseconds kFirstPause{100};
constexpr Milliseconds kLongestPause{2'000};
// Listener and daemon are started together. Until the daemon has heard of this front it cannot ask it for its uses, so
// a short run would end without its hits: at first it is tried often, which costs nothing on a socket.
constexpr Milliseconds kStartPause{20};
constexpr int kStartTries = 250;

}  // namespace

EventFollower::EventFollower(DaemonClient& daemon, std::string front, std::function<void()> report)
    : daemon_(daemon),
      front_(std::move(front)),
      report_(std::move(report)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

EventFollower::~EventFollower() {
  thread_.request_stop();
  thread_.join();
}

void EventFollower::run(const std::stop_token& stop) {
  std::string epoch;
  uint64_t after = 0;
  Backoff backoff(kFirstPause, kLongestPause);
  int start_tries = kStartTries;
  Guarded<bool> nothing;
  while (!stop.stop_requested()) {
    auto batch = daemon_.events(front_, epoch, after, Deadline::after(kPollLimit));
    if (!batch) {
      auto until = Deadline::after(start_tries-- > 0 ? kStartPause : backoff.next()).when();
      nothing.lock().wait_until(stop, until, [](bool) { return false; });
      continue;
    }
    start_tries = 0;
    backoff.reset();
    bool report = std::any_of(batch->events.begin(), batch->events.end(),
                              [](const DaemonEvent& event) { return event.kind == DaemonEvent::Kind::report; });
    if (report) report_();
    epoch = batch->epoch;
    after = batch->next;
  }
}

}  // namespace hitfs
