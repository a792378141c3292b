#include "fs/pending_lookups.h"

#include <algorithm>
#include <utility>

#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};

// For how long "not known" is remembered, so that a storm of lookups does not hammer a daemon that is not there.
constexpr Milliseconds kUnavailableMemory{1000};
// The daemon ends the wait itself; this much later we no longer count on it.
constexpr Milliseconds kGrace{250};
// An INTERRUPT can overtake its request between two threads of the worker.
constexpr size_t kRememberedInterrupts = 256;

struct Waiter {
  uint64_t unique;
  MonotonicTime deadline;
  Reply<NodeReply> reply;
};

}  // namespace

struct PendingLookups::Shared {
  struct State {
    explicit State(const Clock& clock) : absent(clock) {}
    std::map<std::string, std::vector<Waiter>, std::less<>> waiting;  // by name; one question each
    std::deque<std::pair<std::string, std::vector<Waiter>>> arrived;  // to be answered by our thread
    AbsentMemory absent;
    std::deque<uint64_t> interrupted;
    uint64_t changes = 0;  // wakes our thread
  };
  explicit Shared(const Options& chosen) : options(chosen), state(State(*chosen.clock)) {}
  Options options;
  Guarded<State> state;
};

PendingLookups::PendingLookups(const Options& options, DaemonClient& daemon, Arrived arrived)
    : daemon_(daemon), arrived_(std::move(arrived)), shared_(std::make_shared<Shared>(options)) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

PendingLookups::~PendingLookups() {
  thread_.request_stop();
  thread_.join();
  std::vector<Waiter> left;
  {
    auto state = shared_->state.lock();
    for (auto& [name, waiters] : state->waiting) std::move(waiters.begin(), waiters.end(), std::back_inserter(left));
    for (auto& [name, waiters] : state->arrived) std::move(waiters.begin(), waiters.end(), std::back_inserter(left));
    state->waiting.clear();
    state->arrived.clear();
  }
  for (auto& waiter : left) waiter.reply.fail(FsError::not_found);
}

void PendingLookups::wait_for(const Key& key, const std::string& name, uint64_t unique, Reply<NodeReply> reply) {
  enum class Next { ask, wait, absent, interrupted } next = Next::wait;
  {
    auto state = shared_->state.lock();
    auto& interrupted = state->interrupted;
    if (auto found = std::find(interrupted.begin(), interrupted.end(), unique); found != interrupted.end()) {
      interrupted.erase(found);
      next = Next::interrupted;
    } else if (state->absent.holds(name)) {
      next = Next::absent;
    } else {
      auto [waiters, first] = state->waiting.try_emplace(name);
      if (first) next = Next::ask;
      auto deadline = shared_->options.clock->now() + shared_->options.patience + kGrace;
      waiters->second.push_back({unique, deadline, std::move(reply)});
      ++state->changes;
    }
  }
  switch (next) {
    case Next::absent: return reply.fail(FsError::not_found);
    case Next::interrupted: return reply.fail(FsError::interrupted);
    case Next::wait: return shared_->state.notify_all();
    case Next::ask: break;
  }
  shared_->state.notify_all();
  daemon_.fetch(key, shared_->options.patience,
                [shared = shared_, name](const FetchReply& answer) { fetched(shared, name, answer); });
}

void PendingLookups::fetched(const std::shared_ptr<Shared>& shared, const std::string& name, const FetchReply& answer) {
  std::vector<Waiter> waiters;
  {
    auto state = shared->state.lock();
    if (answer.outcome == FetchOutcome::absent) state->absent.remember(name, shared->options.absent_memory);
    if (answer.outcome == FetchOutcome::unavailable) state->absent.remember(name, kUnavailableMemory);
    auto found = state->waiting.find(name);
    if (found == state->waiting.end()) return;
    waiters = std::move(found->second);
    state->waiting.erase(found);
    if (answer.outcome == FetchOutcome::here) {
      state->arrived.emplace_back(name, std::move(waiters));
      ++state->changes;
      waiters.clear();
    }
  }
  if (answer.outcome == FetchOutcome::here) return shared->state.notify_all();
  if (answer.outcome == FetchOutcome::unavailable) kLog.debug("lookup name={} unavailable={}", name, answer.why);
  for (auto& waiter : waiters) waiter.reply.fail(FsError::not_found);
}

void PendingLookups::interrupt(uint64_t unique) {
  std::vector<Waiter> ended;
  {
    auto state = shared_->state.lock();
    for (auto& [name, waiters] : state->waiting) {
      auto found =
          std::find_if(waiters.begin(), waiters.end(), [&](const Waiter& waiter) { return waiter.unique == unique; });
      if (found == waiters.end()) continue;
      ended.push_back(std::move(*found));
      // Not erase(): a Reply moves, but is not assigned to.
      std::vector<Waiter> rest;
      for (auto it = waiters.begin(); it != waiters.end(); ++it) {
        if (it != found) rest.push_back(std::move(*it));
      }
      waiters = std::move(rest);
      break;
    }
    if (ended.empty()) {
      state->interrupted.push_back(unique);
      if (state->interrupted.size() > kRememberedInterrupts) state->interrupted.pop_front();
    }
  }
  for (auto& waiter : ended) waiter.reply.fail(FsError::interrupted);
}

void PendingLookups::forget_absent(std::string_view name) { shared_->state.lock()->absent.forget(name); }

void PendingLookups::forget_all_absent() { shared_->state.lock()->absent.forget_all(); }

// Answers what arrived and ends what has waited too long.
void PendingLookups::run(const std::stop_token& stop) {
  const Clock& clock = *shared_->options.clock;
  while (!stop.stop_requested()) {
    std::deque<std::pair<std::string, std::vector<Waiter>>> arrived;
    std::vector<Waiter> late;
    {
      auto state = shared_->state.lock();
      auto now = clock.now();
      auto next = MonotonicTime::max();
      for (auto& [name, waiters] : state->waiting) {
        std::vector<Waiter> rest;
        for (auto& waiter : waiters) {
          if (waiter.deadline > now) next = std::min(next, waiter.deadline);
          (waiter.deadline > now ? rest : late).push_back(std::move(waiter));
        }
        // The question stays under way: whoever asks next joins it.
        waiters = std::move(rest);
      }
      arrived = std::exchange(state->arrived, {});
      if (late.empty() && arrived.empty()) {
        auto seen = state->changes;
        auto wake = std::chrono::steady_clock::now() + Deadline::at(next).left(clock);
        state.wait_until(stop, wake, [&](const auto& now_state) { return now_state.changes != seen; });
      }
    }
    for (auto& waiter : late) waiter.reply.fail(FsError::not_found);
    for (auto& [name, waiters] : arrived) {
      for (auto& waiter : waiters) arrived_(name, std::move(waiter.reply));
    }
  }
}

}  // namespace hitfs::fs
