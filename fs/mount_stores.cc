// A tool's own store of a name, in a layout with rows.
//
// While it goes on no entry of that name is shown: one that another machine or another mount stored at the same time
// would stand in the way of the tool's next step, and its build would fail.
//
// Stores that were broken off. A tool that sets a finished tree aside for a moment (`<hash>-backup`) and dies there
// leaves its row without files, and its next store of that hash fails. The tree is whole: it gets its name back.
#include <sys/types.h>

#include <cerrno>
#include <csignal>

#include "fs/mount_filesystem.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
// A store takes milliseconds between its renames. For whoever cannot be seen.
constexpr Milliseconds kLongestStore{10'000};
// From the look whether a name is free to the folder of that name. Microseconds, but for a process that waits its turn.
constexpr Milliseconds kBeforeAStore{1000};
constexpr size_t kMostMissed = 65'536;

bool is_dead(pid_t pid) { return ::kill(pid, 0) < 0 && errno == ESRCH; }

}  // namespace

void MountFilesystem::note_miss(std::string_view name) {
  auto state = state_.lock();
  // Looked up in the middle of a store: what it becomes must be seen at once.
  if (state->names.own_names(kRootNumber)->find(layout_.aside(name))) return;
  if (state->missed.size() < kMostMissed) {
    state->missed.insert_or_assign(std::string(name), options_.clock->now() + kBeforeAStore);
  }
}

bool MountFilesystem::is_being_stored(const MountState& state, std::string_view name) const {
  if (!rows_) return false;
  auto missed = state.missed.find(name);
  if (missed != state.missed.end() && options_.clock->now() < missed->second) return true;
  return state.names.own_names(kRootNumber)->find(layout_.aside(name)).has_value();
}

void MountFilesystem::show_what_was_kept_back() {
  std::vector<std::string> over;
  {
    auto state = state_.lock();
    auto now = options_.clock->now();
    for (const auto& [name, until] : state->missed) {
      if (now >= until) over.push_back(name);
    }
    for (const auto& name : over) state->missed.erase(name);
  }
  for (const auto& name : over) rows_->project(name);
  if (!over.empty()) rows_->announce(over);
}

// What a worker before, or a mount before, left: of a mount before nobody lives.
void MountFilesystem::find_broken_stores(bool new_mount) {
  auto state = state_.lock();
  for (const auto& [name, link] : state->names.own_names(kRootNumber)->all()) {
    if (!layout_.set_aside(name)) continue;
    state->asides[name] = {0, options_.clock->now() + (new_mount ? Milliseconds(0) : kLongestStore)};
  }
}

// With the log locked, at each rename.
void MountFilesystem::note_store(const Caller& caller, std::string_view name, std::string_view new_name) {
  auto state = state_.lock();
  state->asides.erase(std::string(name));
  if (layout_.set_aside(new_name)) {
    state->asides[std::string(new_name)] = {caller.pid, options_.clock->now() + kLongestStore};
  }
}

void MountFilesystem::mend_broken_stores() {
  std::vector<std::string> broken;
  {
    auto state = state_.lock();
    auto now = options_.clock->now();
    for (const auto& [name, aside] : state->asides) {
      if (aside.pid != 0 ? is_dead(aside.pid) : now >= aside.until) broken.push_back(name);
    }
    for (const auto& name : broken) state->asides.erase(name);
  }
  for (const auto& name : broken) {
    auto mended = mend_store(name);
    kLog.info("broken_store name={} mended={}", name, static_cast<bool>(mended));
  }
}

Answer<Ok> MountFilesystem::mend_store(const std::string& aside) {
  auto name = *layout_.set_aside(aside);
  auto log = log_.lock();
  auto tree = existing(kRootNumber, aside);
  if (!tree || tree->kind != Existing::Kind::staged || tree->type != FileType::directory) return FsError::not_found;
  auto there = existing(kRootNumber, name);
  if (!there) return there.error();
  if (there->exists()) {
    auto empty = is_empty(*there);
    bool in_its_place = there->kind == Existing::Kind::staged && empty && *empty;
    if (!in_its_place) return drop_names(log, kRootNumber, aside, tree->number);
  }
  auto record = record_for({}, NameOp::rename);
  record.parent = record.other_parent = kRootNumber;
  record.name = aside;
  record.other_name = name;
  record.number = tree->number;
  // If its row was written it is complete; else it stays here, where the tool's own row may speak of it.
  record.tree = state_.lock()->names.take_tree();
  if (auto done = change(log, record); !done) return disk_error(done.error());
  state_.lock()->without_rows.erase(name);
  notifier_.invalidate_name(kRootNumber, aside);
  notifier_.invalidate_name(kRootNumber, name);
  if (there->exists()) collect({there->number});
  if (commits_) commits_->add(record.tree, name);
  return Ok{};
}

// Removes a tree of this mount, from its leaves.
Answer<Ok> MountFilesystem::drop_names(Log& log, Number parent, const std::string& name, Number number) {
  std::vector<std::pair<std::string, Number>> below;
  {
    auto state = state_.lock();
    const auto* node = state->names.node(number);
    if (node == nullptr) return FsError::not_found;
    for (const auto& [child, link] : node->children.all()) below.emplace_back(child, link.number);
  }
  for (const auto& [child, inside] : below) {
    if (auto dropped = drop_names(log, number, child, inside); !dropped) return dropped;
  }
  auto record = record_for({}, NameOp::remove);
  record.parent = parent;
  record.name = name;
  if (auto done = change(log, record); !done) return disk_error(done.error());
  notifier_.invalidate_name(parent, name);
  collect({number});
  return Ok{};
}

}  // namespace hitfs::fs
