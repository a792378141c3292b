// What the daemon tells: entries that came, entries that must go.
#include <algorithm>

#include "fs/mount_filesystem.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr Milliseconds kLongestPause = std::chrono::minutes(5);
constexpr uint32_t kPiece = 256;  // names invalidated between two looks whether it is still needed

}  // namespace

void MountFilesystem::on_events(const EventBatch& batch) {
  if (batch.reset) {
    lookups_->forget_all_absent();
    state_.lock()->names.touch_root(now_ns());
    resume_commits();
    if (rows_) tasks_->add([this] { check_published(); });
  }
  read_announcements(batch);
  for (const auto& event : batch.events) {
    switch (event.kind) {
      case DaemonEvent::Kind::committed: on_committed(event); break;
      case DaemonEvent::Kind::retired: on_retired(event); break;
      case DaemonEvent::Kind::announced: break;  // asked for below, once
      case DaemonEvent::Kind::report: break;     // for whoever calls take_uses()
    }
  }
}

void MountFilesystem::on_committed(const DaemonEvent& event) {
  if (committed_.key_of(event.key.name) != event.key) return;
  lookups_->forget_absent(event.key.name);
  {
    auto state = state_.lock();
    const auto* whiteout = state->names.whiteout(event.key.name);
    if (whiteout != nullptr && whiteout->tree == 0 && event.entry_id > whiteout->entry_id) {
      state->names.drop_whiteout(event.key.name);
    }
    state->names.touch_root(now_ns());
  }
  // A lookup that waited for this entry has its numbers already: forgetting them in the middle of a first pass costs a
  // request for every name.
  if (rows_) {
    auto entry = committed_.entry_at(event.entry_id);
    if (entry && entry->kind == EntryKind::artifact) unpacker_->add({event.key.name});
    rows_->project(event.key.name);
  }
  if (references_.count(event.entry_id) == 0) notifier_.invalidate_name(kRootNumber, event.key.name);
}

void MountFilesystem::on_retired(const DaemonEvent& event) {
  auto entry = committed_.entry_at(event.entry_id);
  bool shown = committed_.key_of(event.key.name) == event.key;
  bool lingering = shown && lingers(event.key.name, event.entry_id);
  {
    auto state = state_.lock();
    RetiredEntry retired;
    retired.name = event.key.name;
    if (lingering) state->lingering.insert(event.entry_id);
    retired.span = entry ? entry->span : 1;
    retired.next_pass = options_.clock->now() + retired.pause;
    state->retired[event.entry_id] = retired;
    if (shown && !lingering) {
      // There is nothing left to hide: the name may come back from a remote.
      const auto* whiteout = state->names.whiteout(event.key.name);
      if (whiteout != nullptr && whiteout->tree == 0 && whiteout->entry_id <= event.entry_id) {
        state->names.drop_whiteout(event.key.name);
      }
      state->names.touch_root(now_ns());
    }
  }
  if (!shown || lingering) return;
  lookups_->forget_absent(event.key.name);
  notifier_.invalidate_name(kRootNumber, event.key.name);
  tasks_->add([this, entry_id = event.entry_id] { invalidate_names(entry_id); });
}

bool MountFilesystem::is_held(uint64_t entry_id) {
  return references_.count(entry_id) > 0 || state_.lock()->names.has_alias_into(entry_id);
}

// Names below the top stay in the kernel for as long as something below them is in use: each is let go of by itself.
void MountFilesystem::invalidate_names(uint64_t entry_id) {
  auto top = committed_.node(entry_id);
  if (!top) return;
  const auto& view = top->manifest->view();
  for (uint32_t position = 1; position < view.size(); ++position) {
    if (position % kPiece == 1 && (stopping_.stop_requested() || !is_held(entry_id))) return;
    auto record = view.at(position);
    notifier_.invalidate_name(entry_id + record.parent, std::string(record.name));
  }
}

// Entries that nothing in the kernel refers to any more; the others' names are invalidated again from time to time,
// because a name that was in use the last time may not be now.
std::vector<uint64_t> MountFilesystem::take_released() {
  end_lingering();
  std::vector<std::pair<uint64_t, uint32_t>> released;
  std::vector<uint64_t> again;
  {
    auto state = state_.lock();
    auto now = options_.clock->now();
    for (auto& [entry_id, retired] : state->retired) {
      if (state->lingering.contains(entry_id)) continue;
      bool held = references_.count(entry_id) > 0 || state->names.has_alias_into(entry_id);
      if (!held) {
        released.emplace_back(entry_id, retired.span);
        state->released.add(entry_id);
      } else if (now >= retired.next_pass) {
        retired.pause = std::min(retired.pause * 2, kLongestPause);
        retired.next_pass = now + retired.pause;
        again.push_back(entry_id);
      }
    }
    for (const auto& [entry_id, span] : released) state->retired.erase(entry_id);
  }
  for (uint64_t entry_id : again) tasks_->add([this, entry_id] { invalidate_names(entry_id); });
  std::vector<uint64_t> ids;
  for (const auto& [entry_id, span] : released) {
    forget_overlays(entry_id, span);
    ids.push_back(entry_id);
  }
  return ids;
}

// What this mount changed in an entry goes with the entry.
void MountFilesystem::forget_overlays(uint64_t entry_id, uint32_t span) {
  auto log = log_.lock();
  if (!state_.lock()->names.has_overlays(entry_id, span)) return;
  auto record = record_for({}, NameOp::drop_overlay);
  record.number = entry_id;
  record.value = span;
  if (!change(log, record)) return;  // bytes of the overlay stay until the mount ends
  clean_up_dropped();
  collect_unreferenced();
}

}  // namespace hitfs::fs
