// Completion by close: a file at the top is complete when its last writer has closed it. Who has it open is not known
// here (fs/last_closes.h asks), only that nothing was written since the question.
#include <algorithm>

#include "fs/mount_filesystem.h"

namespace hitfs::fs {

// The staged file that writes to a canonical number go to; 0 when it would be copied up first.
Number MountFilesystem::data_written(const MountState& state, Number number) {
  const auto* changed = state.names.overlay(number);
  if (changed != nullptr && changed->data != 0) return changed->data;
  const auto* node = state.names.node(number);
  return node != nullptr && node->tree == 0 && node->type == FileType::file ? number : 0;
}

// Files of an earlier mount with this name are left alone: a power cut may have taken half of their bytes.
std::vector<std::string> MountFilesystem::written_in_place() {
  std::vector<std::string> found;
  std::vector<Number> entries;
  {
    auto state = state_.lock();
    const auto& names = state->names;
    for (const auto& [name, link] : names.own_names(kRootNumber)->all()) {
      bool written = link.number >= names.first_of_mount() && data_written(*state, link.number) == link.number;
      if (written && committed_.key_of(name)) found.push_back(name);
    }
    for (const auto& [number, overlay] : names.overlays()) {
      const auto* node = names.node(number);
      if (overlay.data == 0) continue;
      if (node == nullptr) entries.push_back(number);
      if (node != nullptr && node->tree != 0 && node->position == 0) found.push_back(names.trees().at(node->tree).name);
    }
  }
  for (Number number : entries) {
    auto entry = committed_.entry_at(number);
    if (entry && entry->id == number) found.push_back(entry->key.name);
  }
  return found;
}

bool MountFilesystem::note_writes(std::string_view name) {
  auto shown = existing(kRootNumber, name);
  if (!shown || !shown->exists() || !committed_.key_of(name)) return false;
  auto state = state_.lock();
  Number data = data_written(*state, shown->number);
  if (data != 0) state->unwritten.insert(data);
  return data != 0;
}

bool MountFilesystem::last_closed(std::string_view name, std::optional<Number> number) {
  auto shown = existing(kRootNumber, name);
  if (!shown || !shown->exists()) return true;
  Number data = 0;
  {
    auto state = state_.lock();
    if (number && state->names.canonical(*number) != shown->number) return false;
    data = data_written(*state, shown->number);
  }
  if (data == 0) return true;
  bool settled = data == shown->number ? complete_in_place(data, name) : settle_overlay(shown->number, data, name);
  state_.lock()->unwritten.erase(data);
  return settled;
}

// Until let_write() nobody begins to write to `number`; false when somebody has written since the question.
bool MountFilesystem::hold_writes(Number number, Number data) {
  auto state = state_.lock();
  bool quiet = state->unwritten.contains(data) && !state->writing.contains(data);
  return quiet && state->copying.insert(number).second;
}

void MountFilesystem::let_write(Number number) {
  state_.lock()->copying.erase(number);
  state_.notify_all();
}

bool MountFilesystem::complete_in_place(Number number, std::string_view name) {
  if (!hold_writes(number, number)) return false;
  bool shown = false;
  {
    auto log = log_.lock();
    auto record = record_for({}, NameOp::complete);
    record.number = number;
    record.name = name;
    {
      auto state = state_.lock();
      shown = state->names.child(kRootNumber, name).number == number && data_written(*state, number) == number;
      if (shown) record.tree = state->names.take_tree();
    }
    // When the record cannot be written the file stays what it is: a name of this mount.
    if (shown && change(log, record)) commits_->add(record.tree, record.name);
  }
  let_write(number);
  return shown;
}

// Equal bytes: nothing was changed. Other bytes in an entry that is one file: a new entry.
bool MountFilesystem::settle_overlay(Number number, Number data, std::string_view name) {
  auto same = same_bytes(number, data);
  if (!same) return true;
  if (!hold_writes(number, data)) return false;
  auto recorded = record_overlay(number, data, name, *same);
  let_write(number);
  if (!recorded) return recorded.error() != FsError::busy;
  clean_up_dropped();
  notifier_.invalidate_number(number);
  tell_other_numbers(number);
  if (!*same) notifier_.invalidate_name(kRootNumber, std::string(name));
  return true;
}

// `busy` when the name shows something else meanwhile, or the same under its new number: what it was frozen as before
// became an entry.
Answer<Ok> MountFilesystem::record_overlay(Number number, Number data, std::string_view name, bool same) {
  auto attributes = attributes_of(number);
  auto shown = existing(kRootNumber, name);
  if (!attributes || !shown || shown->number != number || !shown->at_top) return FsError::busy;
  auto log = log_.lock();
  auto record = record_for({}, same ? NameOp::drop_overlay : NameOp::promote);
  record.number = number;
  {
    auto state = state_.lock();
    if (state->names.canonical(number) != number || data_written(*state, number) != data) return FsError::busy;
    if (!same) record.tree = state->names.take_tree();
  }
  if (!same) {
    record.name = name;
    record.value = data;
    record.mode = attributes->mode;
  }
  if (!change(log, record)) return FsError::io;
  if (!same) commits_->add(record.tree, record.name);
  return Ok{};
}

Answer<bool> MountFilesystem::same_bytes(Number lower, Number data) {
  constexpr size_t kPiece = 1 << 20;
  std::vector<std::byte> ours(kPiece);
  std::vector<std::byte> theirs(kPiece);
  for (uint64_t offset = 0;; offset += kPiece) {
    auto mine = staged_.read(data, ours, offset);
    auto base = read_lower_patiently(lower, theirs, offset);
    if (!mine || !base) return FsError::io;
    if (*mine != *base || !std::equal(ours.begin(), ours.begin() + static_cast<ptrdiff_t>(*mine), theirs.begin())) {
      return false;
    }
    if (*mine < kPiece) return true;
  }
}

}  // namespace hitfs::fs
