#include "fs/edge/in_flight.h"

namespace hitfs::fs {

InFlight::InFlight(SlotMemory& memory) : memory_(&memory) {
  auto state = state_.lock();
  for (SlotIndex slot = format::kSlots; slot-- > 0;) {
    if (!memory.in_use(slot)) free_locked(*state, slot);
  }
}

void InFlight::free_locked(State& state, SlotIndex slot) {
  (SlotMemory::is_large(slot) ? state.free_large : state.free_small).push_back(slot);
  if (SlotMemory::is_large(slot)) state_.notify_all();
}

std::optional<SlotIndex> InFlight::take_large(std::stop_token stop) {
  SlotIndex slot = 0;
  {
    auto state = state_.lock();
    if (!state.wait(std::move(stop), [](const State& now) { return !now.free_large.empty(); })) return std::nullopt;
    slot = state->free_large.back();
    state->free_large.pop_back();
  }
  memory_->prepare(slot);
  return slot;
}

void InFlight::give_back(SlotIndex slot) {
  memory_->clear(slot);
  auto state = state_.lock();
  free_locked(*state, slot);
}

void InFlight::begin(uint64_t unique, SlotIndex slot) {
  memory_->descriptor(slot).state = format::SlotState::executing;
  auto state = state_.lock();
  state->requests[unique] = Request{slot};
  ++state->running;
}

InFlight::Finished InFlight::finish(uint64_t unique, SlotIndex slot) {
  auto state = state_.lock();
  if (--state->running == 0) state_.notify_all();
  auto found = state->requests.find(unique);
  if (found == state->requests.end()) {
    free_locked(*state, slot);
    return {};
  }
  found->second.running = false;
  if (found->second.claimed) return {};  // complete() frees it
  return park_locked(*state, found->second);
}

InFlight::Finished InFlight::park_locked(State& state, Request& request) {
  Finished finished{.unanswered = true, .no_room = false, .interrupted = request.interrupted};
  if (SlotMemory::is_large(request.slot)) {
    bool fits = memory_->request(request.slot).len <= format::kSmallBytes;
    if (!fits || state.free_small.empty()) {
      finished.no_room = true;
      return finished;
    }
    SlotIndex small = state.free_small.back();
    state.free_small.pop_back();
    memory_->move(request.slot, small);
    free_locked(state, request.slot);
    request.slot = small;
  }
  // A death while it waits is not its fault.
  memory_->descriptor(request.slot).state = format::SlotState::read;
  count_parked_locked(state, request.slot, +1);
  return finished;
}

void InFlight::count_parked_locked(State& state, SlotIndex slot, int change) {
  const auto& asked = memory_->request(slot);
  if (asked.opcode != FUSE_LOOKUP) return;
  auto& count = state.parked_lookups[asked.nodeid];
  count += static_cast<uint32_t>(change);
  if (count == 0) state.parked_lookups.erase(asked.nodeid);
}

std::optional<SlotIndex> InFlight::claim(uint64_t unique) {
  auto state = state_.lock();
  auto found = state->requests.find(unique);
  if (found == state->requests.end() || found->second.claimed) return std::nullopt;
  auto& request = found->second;
  request.claimed = true;
  if (!request.running && !SlotMemory::is_large(request.slot)) count_parked_locked(*state, request.slot, -1);
  return request.slot;
}

void InFlight::complete(uint64_t unique) {
  auto state = state_.lock();
  auto found = state->requests.find(unique);
  if (found == state->requests.end()) return;
  memory_->clear(found->second.slot);
  if (!found->second.running) free_locked(*state, found->second.slot);
  state->requests.erase(found);
}

bool InFlight::interrupt(uint64_t unique) {
  auto state = state_.lock();
  auto found = state->requests.find(unique);
  if (found == state->requests.end()) return false;
  found->second.interrupted = true;
  return true;
}

bool InFlight::waits_in(uint64_t directory) {
  auto state = state_.lock();
  return state->parked_lookups.contains(directory);
}

bool InFlight::wait_idle(const Deadline& until) {
  auto state = state_.lock();
  // The clock's maximum overflows inside of the standard library.
  auto latest = until.or_earlier(Deadline::after(std::chrono::hours(1))).when();
  return state.wait_until({}, latest, [](const State& now) { return now.running == 0; });
}

}  // namespace hitfs::fs
