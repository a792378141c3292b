#include "sync/sessions.h"

#include <algorithm>
#include <functional>
#include <random>

#include "store/digest.h"

namespace hitfs {

namespace {

constexpr Milliseconds kQuiet{60'000};
// Distinct keys that a session tells apart; beyond it they are counted without a look.
constexpr size_t kMostSeen = 1'000'000;
// Keys that a session remembers by name: as many as a part of a run list holds.
constexpr size_t kMostUsed = 50'000;

std::string random_id() {
  std::random_device device;
  std::array<uint32_t, 2> words{device(), device()};
  return to_hex(std::as_bytes(std::span(words)));
}

}  // namespace

Json to_json(const SessionCounters& counters) {
  return Json::Object{{"hit", counters.hit},
                      {"prewarmed", counters.prewarmed},
                      {"miss", counters.miss},
                      {"pushed", counters.pushed},
                      {"refused", counters.refused},
                      {"failed", counters.failed},
                      {"waited_ms", counters.waited.count()}};
}

Sessions::Sessions(Milliseconds budget, const Clock& clock) : budget_(budget), clock_(clock) {}

std::string Sessions::begin() {
  auto id = random_id();
  state_.lock()->open.emplace(id, Session{});
  return id;
}

std::optional<SessionCounters> Sessions::end(const std::string& id) {
  auto state = state_.lock();
  auto found = state->open.find(id);
  if (found == state->open.end()) return std::nullopt;
  auto counters = found->second.counters;
  state->open.erase(found);
  return counters;
}

void Sessions::count(uint64_t SessionCounters::*counter) {
  auto state = state_.lock();
  ++(state->totals.*counter);
  for (auto& [id, session] : state->open) ++(session.counters.*counter);
}

void Sessions::count_once(uint64_t SessionCounters::*counter, char what, const Key& key) {
  size_t hash = event_of(what, key);
  auto state = state_.lock();
  ++(state->totals.*counter);
  for (auto& [id, session] : state->open) {
    if (session.seen.size() >= kMostSeen || session.seen.insert(hash).second) ++(session.counters.*counter);
  }
}

void Sessions::hit(const Key& key, bool prewarmed) {
  note_use(key, false);
  count_once(&SessionCounters::hit, 'h', key);
  if (prewarmed) count_once(&SessionCounters::prewarmed, 'w', key);
}

void Sessions::stored(const Key& key) { note_use(key, true); }

void Sessions::note_use(const Key& key, bool stored) {
  auto state = state_.lock();
  for (auto& [id, session] : state->open) {
    auto found = session.used.find(key);
    if (found != session.used.end()) {
      found->second.stored = found->second.stored || stored;
    } else if (session.used.size() < kMostUsed) {
      session.used.emplace(key, Used{stored, session.used.size()});
    } else {
      session.cut = true;
    }
  }
}

std::optional<SessionKeys> Sessions::keys(const std::string& id) {
  auto state = state_.lock();
  auto found = state->open.find(id);
  if (found == state->open.end()) return std::nullopt;
  SessionKeys keys;
  keys.cut = found->second.cut;
  keys.uses.resize(found->second.used.size());
  for (const auto& [key, used] : found->second.used) keys.uses[used.place] = {key, used.stored};
  return keys;
}

void Sessions::missed(const Key& key) { count_once(&SessionCounters::miss, 'm', key); }

void Sessions::missed_unasked(const Key& key) {
  auto state = state_.lock();
  bool counted = false;
  for (auto& [id, session] : state->open) {
    if (session.seen.contains(event_of('f', key)) || session.seen.size() >= kMostSeen) continue;
    if (!session.seen.insert(event_of('m', key)).second) continue;
    ++session.counters.miss;
    counted = true;
  }
  if (counted) ++state->totals.miss;
}

void Sessions::lookup_failed(const Key& key) { count_once(&SessionCounters::failed, 'f', key); }

void Sessions::push_failed(const Key& key) { count_once(&SessionCounters::failed, 'p', key); }

void Sessions::pushed() { count(&SessionCounters::pushed); }

void Sessions::refused() { count(&SessionCounters::refused); }

void Sessions::waited(Milliseconds beyond_transfer) {
  auto state = state_.lock();
  auto now = clock_.now();
  if (now - state->last_wait > kQuiet) state->implicit_waited = Milliseconds(0);
  state->last_wait = now;
  state->implicit_waited += beyond_transfer;
  state->totals.waited += beyond_transfer;
  for (auto& [id, session] : state->open) session.counters.waited += beyond_transfer;
}

Milliseconds Sessions::budget_left() {
  auto state = state_.lock();
  Milliseconds least = Milliseconds::max();
  for (auto& [id, session] : state->open) least = std::min(least, session.counters.waited);
  if (state->open.empty()) {
    bool quiet = clock_.now() - state->last_wait > kQuiet;
    least = quiet ? Milliseconds(0) : state->implicit_waited;
  }
  return std::max(Milliseconds(0), budget_ - least);
}

SessionCounters Sessions::totals() { return state_.lock()->totals; }

size_t Sessions::open() { return state_.lock()->open.size(); }

}  // namespace hitfs
