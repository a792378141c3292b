#include "sync/event_log.h"

#include <random>
#include <vector>

#include "store/base/io.h"
#include "store/digest.h"

namespace hitfs {

namespace {

// A front that has not asked for this long is gone: it asks again at the latest when a long poll ends.
constexpr Milliseconds kFrontMemory = EventLog::kLongPoll + Milliseconds(10'000);

std::string random_epoch() {
  std::random_device device;
  std::array<uint32_t, 4> words{device(), device(), device(), device()};
  return to_hex(std::as_bytes(std::span(words)));
}

}  // namespace

EventLog::EventLog(TimerQueue& timers) : timers_(timers), epoch_(random_epoch()) {}

uint64_t EventLog::add_locked(State& state, DaemonEvent::Kind kind, const Key& key, uint64_t entry_id) {
  state.kept.push_back({++state.last_number, kind, key, entry_id});
  if (state.kept.size() > kKept) state.kept.pop_front();
  return state.last_number;
}

void EventLog::add(DaemonEvent::Kind kind, const Key& key, uint64_t entry_id) {
  add_locked(*state_.lock(), kind, key, entry_id);
  answer_waiters();
}

EventBatch EventLog::batch_locked(const State& state, uint64_t after) const {
  EventBatch batch;
  batch.epoch = epoch_;
  batch.next = state.last_number;
  for (const auto& event : state.kept) {
    if (event.number > after) batch.events.push_back(event);
  }
  return batch;
}

void EventLog::answer_waiters() {
  std::vector<std::pair<Waiter, EventBatch>> ready;
  {
    auto state = state_.lock();
    for (auto waiter = state->waiters.begin(); waiter != state->waiters.end();) {
      if (waiter->after >= state->last_number) {
        ++waiter;
        continue;
      }
      auto batch = batch_locked(*state, waiter->after);
      ready.emplace_back(std::move(*waiter), std::move(batch));
      waiter = state->waiters.erase(waiter);
    }
  }
  for (auto& [waiter, batch] : ready) {
    timers_.cancel(waiter.timeout);
    waiter.done(std::move(batch));
  }
}

void EventLog::poll(const std::string& front, const std::string& epoch, uint64_t after,
                    std::function<void(EventBatch)> done) {
  std::optional<EventBatch> now;
  {
    auto state = state_.lock();
    state->fronts[front] = system_clock().now();
    uint64_t first_kept = state->last_number - state->kept.size() + 1;
    bool lost = epoch != epoch_ || after + 1 < first_kept || after > state->last_number;
    if (lost) after = 0;
    if (lost || after < state->last_number) {
      now = batch_locked(*state, after);
      now->reset = lost;
    } else {
      uint64_t id = ++state->last_waiter;
      auto timeout = timers_.run_after(kLongPoll, [this, id] { wait_timed_out(id); });
      state->waiters.push_back({id, after, std::move(done), timeout});
    }
  }
  note_handled(front, after);
  if (now) done(std::move(*now));
}

void EventLog::wait_timed_out(uint64_t waiter_id) {
  std::function<void(EventBatch)> done;
  EventBatch batch;
  {
    auto state = state_.lock();
    state->waiters.remove_if([&](Waiter& waiter) {
      if (waiter.id != waiter_id) return false;
      batch = batch_locked(*state, waiter.after);
      done = std::move(waiter.done);
      return true;
    });
  }
  if (done) done(std::move(batch));
}

void EventLog::collect_reports(Milliseconds patience, std::function<void()> done) {
  {
    auto state = state_.lock();
    Collection collection{add_locked(*state, DaemonEvent::Kind::report, {}, 0), {}, std::move(done), {}};
    auto now = system_clock().now();
    for (const auto& [front, seen] : state->fronts) {
      if (now - seen < kFrontMemory) collection.waits_for.insert(front);
    }
    uint64_t number = collection.number;
    collection.timeout = timers_.run_after(patience, [this, number] { collection_timed_out(number); });
    state->collections.push_back(std::move(collection));
  }
  answer_waiters();
  note_handled("", 0);  // completes at once when no front is there
}

void EventLog::forget(const std::string& front) {
  state_.lock()->fronts.erase(front);
  note_handled(front, UINT64_MAX);
}

void EventLog::collection_timed_out(uint64_t number) {
  std::function<void()> done;
  state_.lock()->collections.remove_if([&](Collection& one) {
    if (one.number != number) return false;
    done = std::move(one.done);
    return true;
  });
  if (done) done();
}

void EventLog::note_handled(const std::string& front, uint64_t number) {
  std::vector<std::function<void()>> complete;
  {
    auto state = state_.lock();
    state->collections.remove_if([&](Collection& one) {
      if (number >= one.number) one.waits_for.erase(front);
      if (!one.waits_for.empty()) return false;
      timers_.cancel(one.timeout);
      complete.push_back(std::move(one.done));
      return true;
    });
  }
  for (auto& done : complete) done();
}

}  // namespace hitfs
