#include "sync/fetcher.h"

#include <algorithm>
#include <set>

#include "store/base/log.h"
#include "sync/incoming.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};

// A pull that nobody waits for any more still ends: this long after it began at the latest, whatever trickles in.
constexpr Milliseconds kLongestPull = std::chrono::hours(1);

FetchReply unavailable(std::string why) { return {FetchOutcome::unavailable, 0, std::move(why)}; }

// Checks and commits what has arrived.
Result<Admission> finished(IncomingEntry& incoming, const std::string& origin, LocalWork& here) {
  const LocalWork::Part finishing(here);
  return incoming.finish(origin);
}

}  // namespace

Fetcher::Fetcher(const Parts& parts, const GuardLimits& limits, size_t threads)
    : parts_(parts), limits_(limits), threads_(threads) {}

Fetcher::~Fetcher() {
  stopping_.request_stop();
  std::map<Key, Pull> abandoned;
  {
    auto state = state_.lock();
    state->closed = true;
    abandoned.swap(state->pulls);
    if (next_tick_) parts_.timers.cancel(*next_tick_);
  }
  for (auto& [key, pull] : abandoned) {
    for (auto& waiter : pull.waiters) {
      if (waiter.timeout) parts_.timers.cancel(*waiter.timeout);
      waiter.done(unavailable("stopping"));
    }
  }
}

std::vector<Fetcher::Progress> Fetcher::under_way() {
  std::vector<Progress> pulls;
  auto state = state_.lock();
  for (const auto& [key, pull] : state->pulls) {
    pulls.push_back({key});
    if (!pull.progress) continue;
    pulls.back().received_bytes = pull.progress->bytes;
    pulls.back().total_bytes = pull.progress->total;
  }
  return pulls;
}

// The answers that need no remote: it is here, or nobody can be asked.
std::optional<FetchReply> Fetcher::answer_at_once(const Key& key, bool asked) {
  auto entry = parts_.store.reader().find(key);
  if (entry) return FetchReply{FetchOutcome::here, entry->id, ""};
  if (entry.error().code != Code::not_found) return unavailable(entry.error().message);
  if (!parts_.remotes.any_readable()) return FetchReply{FetchOutcome::absent, 0, "no remote"};
  if (asked && parts_.sessions.budget_left() <= Milliseconds(0)) {
    parts_.store.access_log().record(key, AccessKind::budget_spent, "");
    return unavailable("budget spent");
  }
  return std::nullopt;
}

// Every answer that is not `here` is counted where it is given, so that instant ones count too.
FetchReply Fetcher::counted(const Key& key, FetchReply reply) {
  switch (reply.outcome) {
    case FetchOutcome::absent: parts_.sessions.missed(key); break;
    case FetchOutcome::unavailable: parts_.sessions.lookup_failed(key); break;
    case FetchOutcome::here:
    case FetchOutcome::pending: break;
  }
  return reply;
}

void Fetcher::fetch(const Key& key, Milliseconds wait, std::function<void(FetchReply)> done) {
  if (auto now = answer_at_once(key, true)) return done(counted(key, *std::move(now)));
  begin(key, wait, std::move(done));
}

void Fetcher::prewarm(const Key& key, std::function<void(FetchReply)> done) {
  if (auto now = answer_at_once(key, false)) return done(*std::move(now));
  begin(key, std::nullopt, std::move(done));
}

// Joins the pull of that key, or starts it; without `wait` as a prewarm.
void Fetcher::begin(const Key& key, std::optional<Milliseconds> wait, std::function<void(FetchReply)> done) {
  bool first = false;
  {
    auto state = state_.lock();
    auto [pull, inserted] = state->pulls.try_emplace(key);
    first = inserted;
    uint64_t id = ++state->last_waiter;
    std::optional<TimerQueue::Ticket> timeout;
    if (wait) {
      timeout = parts_.timers.run_after(*wait, [this, key, id] { waiter_timed_out(key, id); });
      pull->second.asked = true;
      if (pull->second.progress) pull->second.progress->asked = true;
      start_ticking_locked(*state);
    }
    pull->second.waiters.push_back({id, std::move(done), timeout});
  }
  if (first) threads_.submit([this, key] { pull(key); });
}

bool Fetcher::waits(const Pull& pull) {
  return std::any_of(pull.waiters.begin(), pull.waiters.end(),
                     [](const Waiter& one) { return one.timeout.has_value(); });
}

bool Fetcher::someone_waits() {
  auto state = state_.lock();
  return std::any_of(state->pulls.begin(), state->pulls.end(), [](const auto& pull) { return waits(pull.second); });
}

bool Fetcher::is_asked(const Key& key) {
  auto state = state_.lock();
  auto found = state->pulls.find(key);
  return found == state->pulls.end() || found->second.asked;
}

void Fetcher::pull(const Key& key) {
  // An entry that was committed between the question and this thread is the first to be looked for.
  auto now = answer_at_once(key, is_asked(key));
  finish(key, now ? *std::move(now) : pull_from_all(key));
}

FetchReply Fetcher::pull_from_all(const Key& key) {
  std::string failures;
  for (auto* remote : parts_.remotes.readable()) {
    auto reply = pull_from(*remote, key);
    if (reply.outcome == FetchOutcome::here) return reply;
    if (reply.outcome == FetchOutcome::unavailable) {
      failures += (failures.empty() ? "" : "; ") + remote->options.name + ": " + reply.why;
    }
  }
  if (!failures.empty()) return unavailable(failures);
  parts_.store.access_log().record(key, AccessKind::miss, parts_.remotes.names());
  return {FetchOutcome::absent, 0, ""};
}

FetchReply Fetcher::pull_from(ConfiguredRemote& remote, const Key& key) {
  auto& log = parts_.store.access_log();
  if (!remote.remote->breaker().allows()) {
    log.record(key, AccessKind::breaker_open, remote.options.name);
    return unavailable("breaker open");
  }
  if (auto pause = remote.remote->pause(Traffic::reads); pause > Milliseconds(0)) {
    log.record(key, AccessKind::breaker_open, remote.options.name + ": it asked for a pause");
    return unavailable("it asked for a pause");
  }
  bool with_tree = parts_.wants_trees && parts_.wants_trees();
  IncomingEntry incoming(parts_.store, parts_.scratch, key, limits_, with_tree ? Form::with_tree : Form::primary);
  auto progress = std::make_shared<PullProgress>();
  CountingWriter counting(incoming, received_, *progress, here_);
  RemoteCall call(Deadline::after(kLongestPull), stopping_.get_token());
  asking(key, &remote, progress);
  auto fetched = remote.remote->fetch(remote.name_of(key), counting, call);
  asking(key, nullptr, nullptr);
  if (!fetched && fetched.error().code == Code::not_found) return {FetchOutcome::absent, 0, ""};
  auto origin = remote.options.name + std::string(is_asked(key) ? "" : kPrewarmed);
  Result<Admission> admitted = fetched ? finished(incoming, origin, here_) : Result<Admission>(fetched.error());
  if (admitted) {
    log.record(key, AccessKind::pulled, origin);
    return {FetchOutcome::here, admitted->entry_id, ""};
  }
  auto error = std::move(admitted).error();
  bool refused = error.code == Code::corrupt || error.code == Code::permission_denied;
  log.record(key, fetched && refused ? AccessKind::refused : AccessKind::fetch_failed,
             remote.options.name + ": " + error.message);
  kLog.warn("fetch key={} remote={} error=\"{}\"", key.text(), remote.options.name, error.message);
  return unavailable(error.message);
}

void Fetcher::finish(const Key& key, const FetchReply& reply) {
  std::vector<Waiter> waiters;
  bool asked = false;
  {
    auto state = state_.lock();
    auto found = state->pulls.find(key);
    if (found == state->pulls.end()) return;
    waiters = std::move(found->second.waiters);
    asked = found->second.asked;
    state->pulls.erase(found);
  }
  if (asked) counted(key, reply);
  for (auto& waiter : waiters) {
    if (waiter.timeout) parts_.timers.cancel(*waiter.timeout);
    waiter.done(reply);
  }
}

void Fetcher::waiter_timed_out(const Key& key, uint64_t waiter_id) {
  std::function<void(FetchReply)> done;
  {
    auto state = state_.lock();
    auto found = state->pulls.find(key);
    if (found == state->pulls.end()) return;
    std::erase_if(found->second.waiters, [&](Waiter& waiter) {
      if (waiter.id != waiter_id) return false;
      done = std::move(waiter.done);
      return true;
    });
  }
  if (done) done({FetchOutcome::pending, 0, "still being pulled"});
}

void Fetcher::start_ticking_locked(State& state) {
  if (state.ticking || state.closed) return;
  state.ticking = true;
  next_tick_ = parts_.timers.run_after(kTick, [this] { tick(); });
}

// Charges this tick to the builds when somebody waited through it for nothing, and sends everybody away when that was
// the last of the budget.
void Fetcher::tick() {
  const bool works_here = here_.moves();
  const bool useful = received_.exchange(0) >= kUsefulBytesPerTick || works_here;
  bool someone_waits = false;
  {
    auto state = state_.lock();
    state->ticking = false;
    for (auto& [key, pull] : state->pulls) someone_waits |= waits(pull);
    if (someone_waits) start_ticking_locked(*state);
  }
  if (!someone_waits || useful) return;
  parts_.sessions.waited(kTick);
  if (parts_.sessions.budget_left() <= Milliseconds(0)) send_everybody_away();
}

void Fetcher::asking(const Key& key, ConfiguredRemote* remote, std::shared_ptr<PullProgress> progress) {
  auto state = state_.lock();
  auto found = state->pulls.find(key);
  if (found == state->pulls.end()) return;
  found->second.asking = remote;
  found->second.progress = std::move(progress);
  if (found->second.progress) found->second.progress->asked = found->second.asked;
}

// The budget is spent: every waiter gets its answer, and the remotes that were waited for are given up until they
// answer a probe.
void Fetcher::send_everybody_away() {
  std::vector<std::pair<Key, Waiter>> sent_away;
  std::set<ConfiguredRemote*> too_slow;
  {
    auto state = state_.lock();
    for (auto& [key, pull] : state->pulls) {
      if (waits(pull) && pull.asking) too_slow.insert(pull.asking);
      // A prewarm waits for nobody's budget.
      auto others = std::stable_partition(pull.waiters.begin(), pull.waiters.end(),
                                          [](const Waiter& waiter) { return !waiter.timeout.has_value(); });
      for (auto waiter = others; waiter != pull.waiters.end(); ++waiter)
        sent_away.emplace_back(key, std::move(*waiter));
      pull.waiters.erase(others, pull.waiters.end());
    }
  }
  for (auto* remote : too_slow) remote->remote->trip("it used up the build's budget of waiting");
  for (auto& [key, waiter] : sent_away) {
    if (waiter.timeout) parts_.timers.cancel(*waiter.timeout);
    parts_.store.access_log().record(key, AccessKind::budget_spent, "");
    waiter.done(counted(key, unavailable("budget spent")));
  }
}

}  // namespace hitfs
