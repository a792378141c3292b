#include "sync/remotes/guarded_remote.h"

#include <algorithm>
#include <array>
#include <thread>
#include <unordered_set>

#include "store/base/guarded.h"
#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr Milliseconds kFarewell{1'000};

// An entry that nobody has: asking for it tells whether the remote answers, and costs it a lookup.
RemoteKey probe_key() { return RemoteKey::of(Key{"", "hitfs-probe", "probe"}, 0, ""); }

}  // namespace

// Shared with the guard's thread, so that a thread that hangs in the kernel can be left behind with what it uses.
struct GuardedRemote::Core {
  Core(std::unique_ptr<Remote> remote, Options opts)
      : inner(std::move(remote)), options(std::move(opts)), breaker(options.breaker), changed(options.changed) {}

  struct Inside {
    std::unordered_set<const RemoteCall*> reads;  // under way; each lives until its end() took it out
    std::array<MonotonicTime, 2> paused_until{};  // by Traffic
    bool thread_ended = false;
    uint64_t wakes = 0;
  };

  const std::unique_ptr<Remote> inner;
  const Options options;
  Breaker breaker;
  Guarded<Inside> inside;
  // Called under its lock, so that none is under way once the destructor has emptied it.
  Guarded<std::function<void(BreakerState)>> changed;

  void tell(BreakerState state) {
    auto listener = changed.lock();
    if (*listener) (*listener)(state);
  }

  [[nodiscard]] Milliseconds pause(Traffic traffic) {
    return Deadline::at(inside.lock()->paused_until[static_cast<size_t>(traffic)]).left();
  }

  Status admit(Traffic traffic, RemoteCall& call);
  void begin(const RemoteCall& call);
  void end(const RemoteCall& call, Traffic traffic, const std::string& error);
  void trip(const std::string& why);
  void opened(const std::string& why);
  void wake();

  template <typename Answer, typename Ask>
  Answer guarded(Traffic traffic, RemoteCall& call, Ask ask);

  // The guard's thread.
  void watch(const std::stop_token& stop);
  void probe(const std::stop_token& stop);
  [[nodiscard]] bool some_call_hangs();
  [[nodiscard]] MonotonicTime next_look();
  // A call that has waited this long is past every limit of its own: it cannot be aborted.
  [[nodiscard]] Nanoseconds hang_limit() const {
    const auto& patience = options.patience;
    return std::max({patience.connect, patience.first_byte, patience.stall}) + Milliseconds(1'000);
  }
};

Status GuardedRemote::Core::admit(Traffic traffic, RemoteCall& call) {
  if (!breaker.allow()) return Error{Code::unavailable, "breaker open"};
  auto left = pause(traffic);
  if (left <= Milliseconds(0)) return Ok{};
  call.trouble = Trouble::paced;
  call.retry_after = left;
  return Error{Code::unavailable, "the server asked for a pause of another " + std::to_string(left.count()) + " ms"};
}

void GuardedRemote::Core::begin(const RemoteCall& call) {
  bool first = false;
  {
    auto state = inside.lock();
    first = state->reads.empty();
    state->reads.insert(&call);
  }
  if (first) wake();
}

void GuardedRemote::Core::end(const RemoteCall& call, Traffic traffic, const std::string& error) {
  {
    auto state = inside.lock();
    state->reads.erase(&call);
    auto& until = state->paused_until[static_cast<size_t>(traffic)];
    if (call.retry_after) until = std::max(until, system_clock().now() + *call.retry_after);
  }
  bool opens = traffic == Traffic::reads ? breaker.report(call, error) : breaker.report_background(call, error);
  if (opens) opened(error);
}

void GuardedRemote::Core::trip(const std::string& why) {
  if (breaker.trip(why)) opened(why);
}

void GuardedRemote::Core::opened(const std::string& why) {
  kLog.warn("breaker remote={} state=open why=\"{}\"", inner->describe(), why);
  tell(BreakerState::open);
  wake();
}

void GuardedRemote::Core::wake() {
  ++inside.lock()->wakes;
  inside.notify_all();
}

template <typename Answer, typename Ask>
Answer GuardedRemote::Core::guarded(Traffic traffic, RemoteCall& call, Ask ask) {
  if (auto admitted = admit(traffic, call); !admitted)
    return in_context(inner->describe(), std::move(admitted).error());
  // Only reads are watched for hanging: an upload may rightly wait long for its answer.
  if (traffic == Traffic::reads) begin(call);
  Answer answer = ask();
  end(call, traffic, answer ? "" : answer.error().message);
  return answer;
}

bool GuardedRemote::Core::some_call_hangs() {
  auto now = system_clock().now();
  auto state = inside.lock();
  return std::any_of(state->reads.begin(), state->reads.end(), [&](const RemoteCall* call) {
    auto since = call->waiting_since.load();
    return since != 0 && now - MonotonicTime(MonotonicTime::duration(since)) > hang_limit();
  });
}

MonotonicTime GuardedRemote::Core::next_look() {
  auto due = breaker.probe_due();
  bool watching = breaker.allows() && !inside.lock()->reads.empty();
  return watching ? std::min(due, system_clock().now() + hang_limit()) : due;
}

void GuardedRemote::Core::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    uint64_t seen = inside.lock()->wakes;
    if (breaker.begin_probe()) probe(stop);
    if (breaker.allows() && some_call_hangs()) trip("a call hangs beyond every limit");
    auto until = next_look();
    auto state = inside.lock();
    auto woken = [&](const Inside& now) { return now.wakes != seen; };
    if (until == MonotonicTime::max()) {
      state.wait(stop, woken);
    } else {
      state.wait_until(stop, until, woken);
    }
  }
  inside.lock()->thread_ended = true;
  inside.notify_all();
}

void GuardedRemote::Core::probe(const std::stop_token& stop) {
  RemoteCall call(Deadline::after(options.probe_limit), stop);
  auto answer = inner->contains(probe_key(), call);
  // A refusal is an answer too: the next call will show it for what it is.
  bool alive = answer || (call.trouble == Trouble::none && answer.error().code != Code::unavailable);
  breaker.end_probe(alive, answer ? "" : answer.error().message);
  if (!alive) return;
  kLog.info("breaker remote={} state=closed", inner->describe());
  tell(BreakerState::closed);
}

GuardedRemote::GuardedRemote(std::unique_ptr<Remote> inner, Options options)
    : core_(std::make_shared<Core>(std::move(inner), std::move(options))),
      thread_([core = core_](const std::stop_token& stop) { core->watch(stop); }) {}

GuardedRemote::~GuardedRemote() {
  *core_->changed.lock() = nullptr;
  thread_.request_stop();
  bool ended = core_->inside.lock().wait_until(std::stop_token(), system_clock().now() + kFarewell,
                                               [](const Core::Inside& state) { return state.thread_ended; });
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
    kLog.warn("breaker remote={} its probe hangs and is left behind", core_->inner->describe());
  }
}

Status GuardedRemote::fetch(const RemoteKey& key, EntryWriter& out, RemoteCall& call) {
  return core_->guarded<Status>(Traffic::reads, call, [&] { return core_->inner->fetch(key, out, call); });
}

Result<StoreResult> GuardedRemote::store(const RemoteKey& key, EntryReader& entry, RemoteCall& call) {
  return core_->guarded<Result<StoreResult>>(Traffic::writes, call,
                                             [&] { return core_->inner->store(key, entry, call); });
}

Result<bool> GuardedRemote::contains(const RemoteKey& key, RemoteCall& call) {
  return core_->guarded<Result<bool>>(Traffic::reads, call, [&] { return core_->inner->contains(key, call); });
}

Status GuardedRemote::remove(const RemoteKey& key, RemoteCall& call) {
  return core_->guarded<Status>(Traffic::writes, call, [&] { return core_->inner->remove(key, call); });
}

std::string_view GuardedRemote::own_space() const { return core_->inner->own_space(); }
std::string GuardedRemote::describe() const { return core_->inner->describe(); }
Breaker& GuardedRemote::breaker() { return core_->breaker; }
void GuardedRemote::trip(const std::string& why) { core_->trip(why); }
Milliseconds GuardedRemote::pause(Traffic traffic) { return core_->pause(traffic); }

}  // namespace hitfs
