// Changes of names: check, record, apply, answer. A request that a killed worker carried out is in the log and is
// answered again, not done again.
#include <algorithm>

#include "fs/mount_filesystem.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};

// No setuid, no setgid: what is in a cache may be read by others. The sticky bit means something on directories only.
constexpr uint16_t kFileModes = 0777;
constexpr uint16_t kDirectoryModes = 01777;
constexpr size_t kLongestTarget = 4095;

constexpr uint64_t kSmallLog = 1 << 20;
constexpr uint64_t kRecordSize = 128;  // roughly

}  // namespace

Status MountFilesystem::change(Log& log, const NameRecord& record) {
  if (auto appended = (*log)->append(record); !appended) {
    kLog.error("names_log error={}", appended.error().message);
    return appended;
  }
  {
    auto state = state_.lock();
    // Before the name leaves this mount's own, or a listing would meet it there and then again among the entries.
    state->recent_commits.note(state->names, record);
    state->names.apply(record);
  }
  if ((*log)->size() > next_compaction_ && next_compaction_ != 0) compact_when_worthwhile(log);
  return Ok{};
}

// The log is written anew when most of it is history. A failure leaves it as it is, to be tried when it has doubled.
void MountFilesystem::compact_when_worthwhile(Log& log) {
  uint64_t needed = kSmallLog + 4 * kRecordSize * state_.lock()->names.live_records();
  if ((*log)->size() > needed) {
    NameTree copy = state_.lock()->names;
    auto done = (*log)->rewrite([&](const NamesLog::Apply& emit) { copy.snapshot(emit); });
    if (!done) kLog.warn("names_log rewrite error={}", done.error().message);
  }
  next_compaction_ = std::max(needed, 2 * (*log)->size());
}

NameRecord MountFilesystem::record_for(const Caller& caller, NameOp op) {
  NameRecord record;
  record.op = op;
  record.unique = caller.unique;
  record.time_ns = now_ns();
  return record;
}

std::optional<Number> MountFilesystem::done_before(const Caller& caller) {
  if (caller.unique == 0) return std::nullopt;
  return state_.lock()->names.done(caller.unique);
}

void MountFilesystem::make(const Caller& caller, Number parent, std::string_view name, NameRecord record,
                           Reply<NodeReply> reply) {
  RowsFirst rows;
  auto made = make_checked(caller, parent, name, record, rows);
  if (!rows.any()) return made.give(std::move(reply));
  auto again = [=, this, name = std::string(name)](RowsFirst& more) {
    return make_checked(caller, parent, name, record, more);
  };
  after_rows<NodeReply>(rows, std::move(again), std::move(reply));
}

Answer<NodeReply> MountFilesystem::make_checked(const Caller& caller, Number parent, std::string_view name,
                                                NameRecord record, RowsFirst& rows) {
  auto log = log_.lock();
  if (auto number = done_before(caller)) {
    auto attributes = attributes_of(*number);
    if (!attributes || !hand_out(*number, 0)) return FsError::not_found;
    return node_reply(*attributes, parent == kRootNumber);
  }
  auto there = existing(parent, name);
  if (!there) return there.error();
  if (there->exists()) return FsError::exists;
  if (promise_in_the_way(parent, name, rows)) return FsError::busy;
  {
    auto state = state_.lock();
    record.number = state->names.take_number();
    record.parent = state->names.canonical(parent);
  }
  record.name = name;
  if (auto done = change(log, record); !done) return disk_error(done.error());
  if (record.parent == kRootNumber) {
    auto state = state_.lock();
    state->without_rows.erase(record.name);
    state->missed.erase(record.name);
  }
  // Before anybody can remove it again: the log's lock is still held.
  hand_out(record.number, 0);
  complete_by_marker(log, record.parent, name);
  auto attributes = attributes_of(record.number);
  if (!attributes) return attributes.error();
  return node_reply(*attributes, parent == kRootNumber);
}

void MountFilesystem::create(const Caller& caller, Number parent, std::string_view name, uint16_t mode,
                             Reply<NodeReply> reply) {
  auto record = record_for(caller, NameOp::create);
  record.mode = mode & kFileModes;
  make(caller, parent, name, std::move(record), std::move(reply));
}

void MountFilesystem::make_directory(const Caller& caller, Number parent, std::string_view name, uint16_t mode,
                                     Reply<NodeReply> reply) {
  // A tool's own store begins.
  if (rows_ && parent == kRootNumber && committed_.key_of(name)) adopt_database_of(caller, [] {});
  auto record = record_for(caller, NameOp::make_directory);
  record.mode = mode & kDirectoryModes;
  make(caller, parent, name, std::move(record), std::move(reply));
}

void MountFilesystem::make_symlink(const Caller& caller, Number parent, std::string_view name, std::string_view target,
                                   Reply<NodeReply> reply) {
  if (target.empty()) return reply.fail(FsError::invalid);
  if (target.size() > kLongestTarget) return reply.fail(FsError::name_too_long);
  auto record = record_for(caller, NameOp::make_symlink);
  record.mode = 0777;
  record.other_name = target;
  make(caller, parent, name, std::move(record), std::move(reply));
}

Answer<bool> MountFilesystem::is_empty(const Existing& directory) {
  std::optional<CommittedNode> node;
  if (directory.kind == Existing::Kind::committed) {
    auto found = committed_.node(directory.number);
    if (!found) return FsError::io;
    node = *std::move(found);
  }
  auto state = state_.lock();
  const auto& names = state->names;
  if (const auto* own = names.own_names(directory.number); own != nullptr && !own->empty()) return false;
  if (const auto* staged = names.node(directory.number)) {
    const auto& below = staged->children.all();
    return std::all_of(below.begin(), below.end(),
                       [&](const auto& child) { return names.is_hidden(directory.number, child.first); });
  }
  if (!node) return true;
  auto record = node->record();
  for (uint32_t i = 0; i < record.child_count; ++i) {
    if (!names.is_hidden(directory.number, node->manifest->view().at(record.first_child + i).name)) return false;
  }
  return true;
}

Answer<Ok> MountFilesystem::remove(const Caller& caller, Number parent, std::string_view name, bool directory,
                                   RowsFirst& rows) {
  auto log = log_.lock();
  if (done_before(caller)) return Ok{};
  auto found = existing(parent, name);
  if (!found) return found.error();
  if (!found->exists()) return FsError::not_found;
  if (directory != (found->type == FileType::directory)) {
    return directory ? FsError::not_directory : FsError::is_directory;
  }
  if (directory) {
    auto empty = is_empty(*found);
    if (!empty) return empty.error();
    if (!*empty) return FsError::not_empty;
  }
  if (rows_in_the_way(parent, name, rows)) return FsError::busy;
  auto record = record_for(caller, NameOp::remove);
  record.parent = state_.lock()->names.canonical(parent);
  record.name = name;
  if (found->at_top) record.value = found->entry_id;
  if (auto done = change(log, record); !done) return disk_error(done.error());
  collect({found->number});
  // What was refused, and is wanted by nobody any more.
  if (found->at_top && found->kind == Existing::Kind::frozen) commits_->again(record.name);
  return Ok{};
}

void MountFilesystem::unlink(const Caller& caller, Number parent, std::string_view name, Reply<Ok> reply) {
  RowsFirst rows;
  auto done = remove(caller, parent, name, false, rows);
  if (!rows.any()) return done.give(std::move(reply));
  auto again = [this, caller, parent, name = std::string(name)](RowsFirst& more) {
    return remove(caller, parent, name, false, more);
  };
  after_rows<Ok>(rows, std::move(again), std::move(reply));
}

void MountFilesystem::remove_directory(const Caller& caller, Number parent, std::string_view name, Reply<Ok> reply) {
  RowsFirst rows;
  auto done = remove(caller, parent, name, true, rows);
  if (!rows.any()) return done.give(std::move(reply));
  auto again = [this, caller, parent, name = std::string(name)](RowsFirst& more) {
    return remove(caller, parent, name, true, more);
  };
  after_rows<Ok>(rows, std::move(again), std::move(reply));
}

bool MountFilesystem::is_below(Number number, Number ancestor) {
  auto state = state_.lock();
  while (is_staging(number)) {
    if (number == ancestor) return true;
    const auto* node = state->names.node(number);
    if (node == nullptr) return false;
    number = state->names.canonical(node->parent);
  }
  return number == ancestor;
}

Answer<Ok> MountFilesystem::may_rename(const Existing& source, Number new_parent, const Existing& target,
                                       RenameMode mode) {
  using Kind = Existing::Kind;
  if (source.kind != Kind::staged) {
    // What belongs to an entry stays below that entry, and its directories where they are: programs then copy.
    if (source.at_top || source.type == FileType::directory) return FsError::cross_device;
    auto parent = known(new_parent);
    bool same_entry = false;
    if (source.kind == Kind::frozen) {
      same_entry =
          parent.staged && parent.staged->tree != 0 && parent.staged->tree == known(source.number).staged->tree;
    } else if (is_committed(parent.number)) {
      auto entry = committed_.entry_at(parent.number);
      same_entry = entry && entry->id == source.entry_id;
    }
    if (!same_entry) return FsError::cross_device;
  }
  if (source.type == FileType::directory && is_below(new_parent, source.number)) return FsError::invalid;
  if (!target.exists()) return Ok{};
  if (mode == RenameMode::no_replace) return FsError::exists;
  if (source.type != FileType::directory && target.type == FileType::directory) return FsError::is_directory;
  if (source.type == FileType::directory && target.type != FileType::directory) return FsError::not_directory;
  // An entry is replaced whole; any other directory must be empty.
  if (target.type != FileType::directory || target.at_top) return Ok{};
  auto empty = is_empty(target);
  if (!empty) return empty.error();
  if (!*empty) return FsError::not_empty;
  return Ok{};
}

bool MountFilesystem::completes_by_rename(Number parent, std::string_view name, Number new_parent,
                                          std::string_view new_name, const Existing& source) const {
  if (new_parent != kRootNumber || source.kind != Existing::Kind::staged) return false;
  if (source.type == FileType::symlink) return false;
  if (parent == kRootNumber && committed_.key_of(name)) return false;
  auto aside = layout_.aside(new_name);
  if (!aside.empty() && (parent != kRootNumber || name != aside)) return false;
  return committed_.key_of(new_name).has_value();
}

Answer<Ok> MountFilesystem::rename_checked(const Caller& caller, Number parent, std::string_view name,
                                           Number new_parent, std::string_view new_name, RenameMode mode,
                                           RowsFirst& rows) {
  // As every file system that cannot swap two names.
  if (mode == RenameMode::exchange) return FsError::invalid;
  TreeToCommit tree{0, std::string(new_name)};
  auto log = log_.lock();
  if (done_before(caller)) return Ok{};
  auto source = existing(parent, name);
  if (!source) return source.error();
  if (!source->exists()) return FsError::not_found;
  auto target = existing(new_parent, new_name);
  if (!target) return target.error();
  auto record = record_for(caller, NameOp::rename);
  {
    auto state = state_.lock();
    record.parent = state->names.canonical(parent);
    record.other_parent = state->names.canonical(new_parent);
  }
  if (target->exists() && target->number == source->number) return Ok{};
  if (auto may = may_rename(*source, record.other_parent, *target, mode); !may) return may.error();
  if (rename_has_rows_in_the_way(parent, name, new_parent, new_name, *target, rows)) return FsError::busy;
  if (completes_by_rename(parent, name, new_parent, new_name, *source)) {
    tree.first = record.tree = state_.lock()->names.take_tree();
  }
  record.number = source->number;
  record.name = name;
  record.other_name = new_name;
  if (target->at_top) record.value = target->entry_id;
  if (auto done = change(log, record); !done) return disk_error(done.error());
  if (rows_ && parent == kRootNumber && new_parent == kRootNumber) note_store(caller, name, new_name);
  if (record.other_parent == kRootNumber) state_.lock()->without_rows.erase(record.other_name);
  if (target->exists()) collect({target->number});
  if (tree.first != 0) commits_->add(tree.first, tree.second);
  complete_by_marker(log, record.other_parent, new_name);
  return Ok{};
}

void MountFilesystem::rename(const Caller& caller, Number parent, std::string_view name, Number new_parent,
                             std::string_view new_name, RenameMode mode, Reply<Ok> reply) {
  RowsFirst rows;
  auto done = rename_checked(caller, parent, name, new_parent, new_name, mode, rows);
  if (!rows.any()) return done.give(std::move(reply));
  auto again = [=, this, name = std::string(name), new_name = std::string(new_name)](RowsFirst& more) {
    return rename_checked(caller, parent, name, new_parent, new_name, mode, more);
  };
  after_rows<Ok>(rows, std::move(again), std::move(reply));
}

// The marker file appeared in a directory at the top that has an entry's name: the directory is complete.
void MountFilesystem::complete_by_marker(Log& log, Number parent, std::string_view name) {
  if (layout_.completion() != Completion::marker || name != layout_.marker()) return;
  auto record = record_for({}, NameOp::complete);
  {
    auto state = state_.lock();
    const auto* directory = state->names.node(parent);
    bool at_top = directory != nullptr && directory->parent == kRootNumber && directory->tree == 0;
    if (!at_top || !committed_.key_of(directory->name)) return;
    record.number = parent;
    record.name = directory->name;
    record.tree = state->names.take_tree();
  }
  // When the record cannot be written the directory stays as it is; the next start of the mount looks again.
  if (change(log, record)) commits_->add(record.tree, record.name);
}

// After drop_overlays(): bytes without owner go, and the kernel hears what looks different.
void MountFilesystem::clean_up_dropped() {
  auto dropped = state_.lock()->names.take_dropped();
  for (Number number : dropped.numbers) notifier_.invalidate_number(number);
  for (Number data : dropped.data) {
    if (auto removed = staged_.remove(data); !removed) {
      kLog.warn("staging remove number={} error={}", data, removed.error().message);
    }
  }
}

}  // namespace hitfs::fs
