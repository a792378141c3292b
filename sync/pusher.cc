#include "sync/pusher.h"

#include <algorithm>

#include "store/access_log.h"
#include "store/base/backoff.h"
#include "store/base/log.h"
#include "sync/outgoing.h"
#include "sync/push_alarm.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};

constexpr Milliseconds kLongestPause{300'000};
// An upload that trickles must not hold a push thread for ever.
constexpr Milliseconds kLongestPush = std::chrono::hours(1);
constexpr Milliseconds kLongestListPush = std::chrono::minutes(1);

// The pause after `attempts` failures before this one: doubling, up to kLongestPause, spread at random.
Milliseconds pause_after(int attempts, Milliseconds first_pause) {
  Milliseconds whole = first_pause;
  for (int i = 0; i < attempts && whole < kLongestPause; ++i) whole *= 2;
  return Backoff(std::min(whole, kLongestPause), kLongestPause).next();
}

// Waiting looks again this often whether it is worth while.
constexpr Milliseconds kLook{250};
// A pause that a server asked for and that is worth waiting for.
constexpr Milliseconds kShortPause{10'000};
constexpr size_t kMostLookedAt = 1'000;

bool may_pass(Code code) { return code == Code::unavailable || code == Code::internal; }

}  // namespace

Pusher::Pusher(const Parts& parts, Options options) : parts_(parts), options_(std::move(options)) {
  for (auto* remote : parts_.remotes.writable()) {
    for (int i = 0; i < remote->options.parallel_pushes; ++i) {
      threads_.emplace_back([this, remote](const std::stop_token& stop) { serve(*remote, stop); });
    }
  }
}

Pusher::~Pusher() {
  for (auto& thread : threads_) thread.request_stop();
}

void Pusher::wake() {
  ++state_.lock()->wakes;
  state_.notify_all();
}

bool Pusher::is_given_up(ConfiguredRemote& remote, const std::vector<PushJob>& pending) {
  if (remote.remote->breaker().status().failed_probes > 0) return true;
  auto pause = remote.remote->pause(Traffic::writes);
  if (pause > kShortPause) return true;
  if (!remote.fails_again) return false;
  if (pause > Milliseconds(0)) return true;
  return std::none_of(pending.begin(), pending.end(),
                      [&](const PushJob& job) { return job.attempts == 0 && job.remote == remote.options.name; });
}

// By one look at the queue: what is asked for twice may have begun, or ended, in between.
bool Pusher::promising() {
  auto pending = parts_.store.push_queue().pending(kMostLookedAt);
  if (!pending) return true;  // whoever waits has a limit
  const auto& remotes = parts_.remotes.writable();
  return std::any_of(remotes.begin(), remotes.end(), [&](ConfiguredRemote* remote) {
    bool has_work = pending->size() == kMostLookedAt ||
                    std::any_of(pending->begin(), pending->end(),
                                [&](const PushJob& job) { return job.remote == remote->options.name; });
    return has_work && !is_given_up(*remote, *pending);
  });
}

bool Pusher::wait_until_empty(const Deadline& until, std::stop_token stop, Wait wait) {
  while (true) {
    uint64_t finished = state_.lock()->finished;
    auto stats = parts_.store.push_queue().stats();
    if (stats.waiting + stats.running == 0) return true;
    if (until.passed() || stop.stop_requested()) return false;
    if (wait == Wait::while_promising && !promising()) return false;
    auto look = wait == Wait::for_all ? until : until.or_earlier(Deadline::after(kLook));
    state_.lock().wait_until(stop, look.when(), [&](const State& now) { return now.finished != finished; });
  }
}

void Pusher::serve(ConfiguredRemote& remote, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    uint64_t seen_wakes = state_.lock()->wakes;
    if (!remote.remote->breaker().allows() || remote.remote->pause(Traffic::writes) > Milliseconds(0)) {
      wait_for_work(remote, seen_wakes, stop);
      continue;
    }
    auto job = parts_.store.push_queue().take(remote.options.name, options_.order, system_clock().unix_ms());
    if (!job) kLog.error("push queue error=\"{}\"", job.error().message);
    if (!job || !*job) {
      wait_for_work(remote, seen_wakes, stop);
      continue;
    }
    push(remote, **job, stop);
    ++state_.lock()->finished;
    state_.notify_all();
  }
}

void Pusher::wait_for_work(ConfiguredRemote& remote, uint64_t seen_wakes, const std::stop_token& stop) {
  // What is due already waits for the remote, whose pause has no event: look again after a while.
  Milliseconds pause = kLongestPause;
  auto due = parts_.store.push_queue().next_due_ms(remote.options.name);
  if (due && *due) {
    auto until_due = Milliseconds(**due - system_clock().unix_ms());
    pause = std::clamp(until_due, options_.first_pause, kLongestPause);
  }
  auto state = state_.lock();
  state.wait_until(stop, system_clock().now() + pause, [&](const State& now) { return now.wakes != seen_wakes; });
}

void Pusher::push(ConfiguredRemote& remote, const PushJob& job, const std::stop_token& stop) {
  auto entry = parts_.store.reader().find(job.key);
  if (!entry || entry->id != job.entry_id) {
    // Replaced or dropped since: the newer entry has a job of its own.
    return done(job);
  }
  if (parts_.lists && job.key.space == kListSpace) return push_list(remote, job, *entry, stop);
  OutgoingEntry outgoing(parts_.store.reader(), parts_.scratch, *entry);
  RemoteCall call(Deadline::after(kLongestPush), stop);
  auto stored = remote.remote->store(remote.name_of(job.key), outgoing, call);
  if (!stored) return settle(remote, job, stored.error());
  remote.write_denied = remote.fails_again = false;
  parts_.sessions.pushed();
  parts_.store.access_log().record(job.key, AccessKind::pushed,
                                   remote.options.name + (*stored == StoreResult::already_there ? " (there)" : ""));
  done(job);
}

// A list is no result of a build: it is not counted, and what a remote refuses is dropped.
void Pusher::push_list(ConfiguredRemote& remote, const PushJob& job, const Entry& part, const std::stop_token& stop) {
  auto pushed = parts_.lists->push(remote, part, Deadline::after(kLongestListPush), stop);
  if (pushed) return done(job);
  auto again = try_again(remote, job, pushed.error().message);
  if (!again) kLog.error("push queue error=\"{}\"", again.error().message);
}

Status Pusher::try_again(ConfiguredRemote& remote, const PushJob& job, const std::string& why) {
  auto pause = std::max(pause_after(job.attempts, options_.first_pause), remote.remote->pause(Traffic::writes));
  kLog.warn("push key={} remote={} retry_in_ms={} error=\"{}\"", job.key.text(), remote.options.name, pause.count(),
            why);
  return parts_.store.push_queue().retry(job, system_clock().unix_ms() + pause.count(), why);
}

void Pusher::done(const PushJob& job) {
  auto done = parts_.store.push_queue().done(job);
  if (!done) kLog.error("push queue error=\"{}\"", done.error().message);
}

void Pusher::settle(ConfiguredRemote& remote, const PushJob& job, const Error& error) {
  auto& log = parts_.store.access_log();
  Status settled = Ok{};
  if (may_pass(error.code)) {
    if (job.attempts > 0) remote.fails_again = true;
    settled = try_again(remote, job, error.message);
    parts_.sessions.push_failed(job.key);
    log.record(job.key, AccessKind::push_failed, remote.options.name + ": " + error.message);
  } else {
    settled = parts_.store.push_queue().park(job, error.message);
    parts_.sessions.refused();
    log.record(job.key, AccessKind::push_parked, remote.options.name + ": " + error.message);
    log_parked(remote, job, error);
    alarm(job, error.message);
  }
  if (!settled) kLog.error("push queue error=\"{}\"", settled.error().message);
}

// That we may not write is true of the remote, not of the key: said once.
void Pusher::log_parked(ConfiguredRemote& remote, const PushJob& job, const Error& error) {
  bool denied = error.code == Code::permission_denied;
  bool known = denied && remote.write_denied.exchange(true);
  if (known) return kLog.debug("push key={} remote={} parked", job.key.text(), remote.options.name);
  if (denied) return kLog.warn("not writable remote={} error=\"{}\"", remote.options.name, error.message);
  kLog.error("push key={} remote={} parked error=\"{}\"", job.key.text(), remote.options.name, error.message);
}

void Pusher::alarm(const PushJob& job, const std::string& why) {
  if (options_.on_push_failed.empty()) return;
  if (auto ran = run_push_alarm(options_.on_push_failed, job, why); !ran) {
    kLog.warn("on_push_failed error=\"{}\"", ran.error().message);
  }
}

}  // namespace hitfs
