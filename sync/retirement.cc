#include "sync/retirement.h"

#include "store/base/log.h"
#include "store/mount_lock.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};

// How soon the bytes of a mount that ended without a word are freed.
constexpr Milliseconds kCheckMounts{5'000};

std::vector<std::string> live_mounts(const StorePaths& paths) {
  std::vector<std::string> live;
  std::error_code ignored;
  for (const auto& folder : std::filesystem::directory_iterator(paths.staging(), ignored)) {
    auto name = folder.path().filename().string();
    if (mount_lives(paths, name)) live.push_back(name);
  }
  return live;
}

}  // namespace

Retirement::Retirement(EntryStore& store, EventLog& events, TimerQueue& timers, StorePaths paths)
    : store_(store), events_(events), timers_(timers), paths_(std::move(paths)) {}

Retirement::~Retirement() {
  if (auto state = state_.lock(); state->next_check) timers_.cancel(*state->next_check);
}

void Retirement::resume() {
  auto retired = store_.retired();
  if (!retired) {
    kLog.error("retired entries error=\"{}\"", retired.error().message);
    return;
  }
  for (const auto& entry : *retired) on_retired(entry);
}

void Retirement::on_retired(const Entry& entry) {
  auto live = live_mounts(paths_);
  if (live.empty()) return free_bytes({entry.id});
  {
    auto state = state_.lock();
    state->held_by[entry.id] = {live.begin(), live.end()};
    schedule_check_locked(*state);
  }
  events_.add(DaemonEvent::Kind::retired, entry.key, entry.id);
}

void Retirement::released(const std::string& mount, const std::vector<uint64_t>& entry_ids) {
  std::vector<uint64_t> free_now;
  {
    auto state = state_.lock();
    for (uint64_t id : entry_ids) {
      auto held = state->held_by.find(id);
      if (held == state->held_by.end()) continue;
      held->second.erase(mount);
      if (!held->second.empty()) continue;
      state->held_by.erase(held);
      free_now.push_back(id);
    }
  }
  free_bytes(free_now);
}

void Retirement::schedule_check_locked(State& state) {
  if (!state.next_check) state.next_check = timers_.run_after(kCheckMounts, [this] { check_mounts(); });
}

void Retirement::check_mounts() {
  auto live = live_mounts(paths_);
  std::set<std::string> alive(live.begin(), live.end());
  std::vector<uint64_t> free_now;
  {
    auto state = state_.lock();
    state->next_check.reset();
    for (auto held = state->held_by.begin(); held != state->held_by.end();) {
      std::erase_if(held->second, [&](const std::string& mount) { return !alive.contains(mount); });
      if (!held->second.empty()) {
        ++held;
        continue;
      }
      free_now.push_back(held->first);
      held = state->held_by.erase(held);
    }
    if (!state->held_by.empty()) schedule_check_locked(*state);
  }
  free_bytes(free_now);
}

void Retirement::free_bytes(const std::vector<uint64_t>& entry_ids) {
  for (uint64_t id : entry_ids) {
    // Not fatal: the entry stays retired, and the next daemon tries again.
    if (auto freed = store_.release(id); !freed) kLog.warn("release entry={} error=\"{}\"", id, freed.error().message);
  }
  // Descriptors that this process keeps of the freed files would hold their room on the disk.
  store_.reader().forget_freed();
}

}  // namespace hitfs
