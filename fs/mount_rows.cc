// Layouts whose tool believes rows in databases more than names: rows come after names and go before them. And the
// names that are made when they are looked up: links into the private folder, terminal outputs.
#include <algorithm>

#include "fs/mount_filesystem.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/layouts/nx.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr size_t kPage = 1024;
constexpr size_t kPiece = 1 << 20;
// As many names are remembered to be without rows; beyond that some rows are looked for in vain.
constexpr size_t kMostWithoutRows = 65'536;
constexpr Milliseconds kStuckPause{1000};
constexpr std::string_view kWorkspaces = "workspaces/";
constexpr std::string_view kDatabase = ".db";

}  // namespace

Status MountFilesystem::start_rows() {
  if (!layout_.has_rows()) return Ok{};
  rows_ =
      std::make_unique<RowKeeper>(options_.store.private_folder(options_.mount_name), static_cast<RowSource&>(*this));
  unpacker_ = std::make_unique<Unpacker>(daemon_, std::string(layout_.space()));
  if (auto begun = rows_->begin(); !begun) return begun;
  unpack_what_is_packed();
  return Ok{};
}

void MountFilesystem::unpack_what_is_packed() {
  auto packed = committed_.packed();
  if (packed) return unpacker_->add(*std::move(packed));
  kLog.warn("packed entries error=\"{}\"", packed.error().message);
}

// --- what may have a row ---

// True when `name` shows an entry as it was stored: nothing of it is removed or written over in this mount.
bool MountFilesystem::shows_whole(const MountState& state, const std::string& name, const Entry& entry) {
  const auto& names = state.names;
  if (names.own_names(kRootNumber)->find(name)) return false;
  const auto* whiteout = names.whiteout(name);
  if (whiteout != nullptr && (whiteout->tree != 0 || entry.id <= whiteout->entry_id)) return false;
  return names.is_whole(entry.id, entry.span);
}

bool MountFilesystem::publish(const std::string& hash) {
  auto found = committed_.find(hash);
  if (!found || !*found || (*found)->exit_code != 0 || (*found)->kind != EntryKind::directory) return false;
  // No name changes meanwhile: a removal either is seen here, or meets the row.
  auto log = log_.lock();
  auto state = state_.lock();
  if (!shows_whole(*state, hash, **found)) return false;
  state->published[hash] = {(*found)->id};
  state->without_rows.erase(hash);
  return true;
}

Result<std::set<std::string>> MountFilesystem::names() {
  std::set<std::string> names;
  std::string after;
  do {
    auto page = committed_.list(after, kPage);
    if (!page) return std::move(page).error();
    auto state = state_.lock();
    for (const auto& entry : page->entries) {
      if (shows_whole(*state, entry.key.name, entry)) names.insert(entry.key.name);
    }
    after = page->last;
  } while (!after.empty());
  auto state = state_.lock();
  for (const auto& [name, link] : state->names.own_names(kRootNumber)->all()) {
    const auto* node = state->names.node(link.number);
    bool is_directory = node != nullptr && node->type == FileType::directory;
    if (is_directory && committed_.key_of(name)) names.insert(name);
  }
  return names;
}

// --- rows that go first ---

// The entry name at the top at or above (parent, name); "" when there is none.
std::string MountFilesystem::hash_above(Number parent, std::string_view name) {
  std::string top(name);
  Number number = parent;
  {
    auto state = state_.lock();
    number = state->names.canonical(parent);
    while (is_staging(number)) {
      const auto* node = state->names.node(number);
      if (node == nullptr) return "";
      top = node->tree != 0 && node->position == 0 ? state->names.trees().at(node->tree).name : node->name;
      number = node->parent == 0 ? kRootNumber : state->names.canonical(node->parent);
    }
  }
  if (is_committed(number)) {
    auto entry = committed_.entry_at(number);
    return entry ? entry->key.name : "";
  }
  return committed_.key_of(top) ? top : "";
}

// With the log locked: a row that is not there now is not made before the change is done.
bool MountFilesystem::rows_in_the_way(Number parent, std::string_view name, RowsFirst& rows) {
  if (!rows_) return false;
  auto place = layout_.place(name);
  if (parent == kRootNumber && place.name_class == NameClass::link) {
    auto state = state_.lock();
    if (!place.name.ends_with(kDatabase) || state->without_rows.erase(place.name) > 0) return false;
    rows.database = place.name;
    return true;
  }
  auto hash = hash_above(parent, name);
  if (hash.empty()) return false;
  auto state = state_.lock();
  if (state->without_rows.contains(hash)) return false;
  // The tool stores: its row is there already, and the content comes back under this name in a moment.
  if (state->names.own_names(kRootNumber)->find(layout_.aside(hash))) return false;
  rows.hash = hash;
  return true;
}

bool MountFilesystem::rename_has_rows_in_the_way(Number parent, std::string_view name, Number new_parent,
                                                 std::string_view new_name, const Existing& target, RowsFirst& rows) {
  if (!rows_) return false;
  bool at_top = parent == kRootNumber && new_parent == kRootNumber;
  // Both halves of a store: aside, and back in place.
  if (at_top && (layout_.aside(name) == new_name || layout_.aside(new_name) == name)) return false;
  if (rows_in_the_way(parent, name, rows)) return true;
  return target.exists() && rows_in_the_way(new_parent, new_name, rows);
}

// Carries a change out when the rows in its way are gone, on the keeper's thread: no row is made in between.
void MountFilesystem::after_rows(const RowsFirst& rows, std::function<Answer<Ok>(RowsFirst&)> change, Reply<Ok> reply) {
  auto waiting = std::make_shared<Reply<Ok>>(std::move(reply));
  auto done = [this, rows, change = std::move(change), waiting](const Status& removed) {
    if (!removed) {
      kLog.warn("rows of={} stay, and so does the name: {}", rows.hash + rows.database, removed.error().message);
      return waiting->fail(FsError::busy);
    }
    {
      auto state = state_.lock();
      if (state->without_rows.size() > kMostWithoutRows) state->without_rows.clear();
      state->without_rows.insert(rows.hash + rows.database);
      state->published.erase(rows.hash);
    }
    RowsFirst more;
    auto answer = change(more);
    if (more.any()) return after_rows(more, change, std::move(*waiting));
    answer.give(std::move(*waiting));
  };
  if (rows.hash.empty()) return rows_->wipe(rows.database, std::move(done));
  rows_->remove(rows.hash, std::move(done));
}

// --- entries that go ---

// The entry that a row of `name` speaks of, also when it is retired.
std::optional<Entry> MountFilesystem::published_entry(std::string_view name) {
  uint64_t entry_id = 0;
  {
    auto state = state_.lock();
    auto found = state->published.find(name);
    if (found == state->published.end()) return std::nullopt;
    entry_id = found->second.entry_id;
  }
  auto entry = committed_.entry_at(entry_id);
  return entry ? std::optional(*std::move(entry)) : std::nullopt;
}

// An entry is no longer found by its name. True when it is still shown: until its rows are gone, and a while longer.
bool MountFilesystem::lingers(const std::string& name, uint64_t entry_id) {
  if (!rows_) return false;
  auto now = committed_.find(name);
  if (now && *now) {
    rows_->project(name);
    return false;
  }
  {
    auto state = state_.lock();
    auto found = state->published.find(name);
    if (found == state->published.end() || found->second.entry_id != entry_id) return false;
    if (found->second.state != PublishedEntry::State::shown) return true;
    found->second.state = PublishedEntry::State::going;
  }
  take_rows_away(name, entry_id);
  return true;
}

void MountFilesystem::take_rows_away(const std::string& name, uint64_t entry_id) {
  rows_->remove(name, [this, name, entry_id](const Status& removed) {
    if (!removed) kLog.warn("rows of={} stay for now: {}", name, removed.error().message);
    auto state = state_.lock();
    auto found = state->published.find(name);
    if (found == state->published.end() || found->second.entry_id != entry_id) return;
    found->second.state = removed ? PublishedEntry::State::gone : PublishedEntry::State::stuck;
    found->second.until = options_.clock->now() + (removed ? options_.row_grace : kStuckPause);
  });
}

// Called several times a second.
void MountFilesystem::end_lingering() {
  if (!rows_) return;
  std::vector<std::pair<std::string, uint64_t>> hidden;
  std::vector<std::pair<std::string, uint64_t>> again;
  {
    auto state = state_.lock();
    auto now = options_.clock->now();
    for (uint64_t entry_id : std::exchange(state->lingering, {})) {
      auto name = state->retired.contains(entry_id) ? state->retired.at(entry_id).name : "";
      auto found = state->published.find(name);
      if (found == state->published.end() || found->second.entry_id != entry_id) continue;
      auto& published = found->second;
      bool over = now >= published.until;
      if (published.state == PublishedEntry::State::gone && over) {
        hidden.emplace_back(name, entry_id);
        state->published.erase(found);
        continue;
      }
      if (published.state == PublishedEntry::State::stuck && over) {
        published.state = PublishedEntry::State::going;
        again.emplace_back(name, entry_id);
      }
      state->lingering.insert(entry_id);
    }
    if (!hidden.empty()) state->names.touch_root(now_ns());
  }
  for (const auto& [name, entry_id] : again) take_rows_away(name, entry_id);
  for (const auto& [name, entry_id] : hidden) {
    notifier_.invalidate_name(kRootNumber, name);
    tasks_->add([this, id = entry_id] { invalidate_names(id); });
  }
}

// The daemon is new, or has told more than it keeps: what was published is compared with the store.
void MountFilesystem::check_published() {
  std::vector<std::pair<std::string, uint64_t>> published;
  {
    auto state = state_.lock();
    for (const auto& [name, entry] : state->published) published.emplace_back(name, entry.entry_id);
  }
  for (const auto& [name, entry_id] : published) {
    auto now = committed_.find(name);
    if (!now || (*now && (*now)->id == entry_id)) continue;
    auto entry = committed_.entry_at(entry_id);
    if (entry) on_retired({.kind = DaemonEvent::Kind::retired, .key = entry->key, .entry_id = entry_id});
  }
  rows_->project_all();
  unpack_what_is_packed();
}

// --- names that are made when they are looked up ---

// True when the lookup is answered (or will be) here.
bool MountFilesystem::lookup_made(Number parent, std::string_view name, Reply<NodeReply>& reply) {
  if (parent == kRootNumber) {
    auto place = layout_.place(name);
    if (place.name_class != NameClass::link) return false;
    lookup_link(place, std::string(name), std::move(reply));
    return true;
  }
  Number folder = 0;
  {
    auto state = state_.lock();
    auto link = state->names.own_names(kRootNumber)->find(layout_.outputs_folder());
    folder = state->names.canonical(parent);
    if (!link || link->number != folder) return false;
    const auto* node = state->names.node(folder);
    if (node == nullptr || node->tree != 0 || node->children.find(name)) return false;
  }
  auto made = make_output(folder, name);
  if (!made && made.error() == FsError::exists) return false;
  made.give(std::move(reply));
  return true;
}

void MountFilesystem::lookup_link(const Placement& place, const std::string& name, Reply<NodeReply> reply) {
  auto target = options_.store.private_folder(options_.mount_name) / place.name;
  if (!place.name.starts_with(kWorkspaces)) return make_link(name, target.string()).give(std::move(reply));
  auto waiting = std::make_shared<Reply<NodeReply>>(std::move(reply));
  rows_->prepare(nx_version_in(name).value_or(""), [this, name, target, waiting](const Status& prepared) {
    // Without its database the first run finds nothing.
    if (!prepared) kLog.warn("nx_database name={} error=\"{}\"", name, prepared.error().message);
    if (auto made = io::make_directories(target, 0700, "nx workspace"); !made) {
      return waiting->fail(disk_error(made.error()));
    }
    unpacker_->when_done([this, name, target, waiting] {
      // What arrived a moment before has its row when the tool looks for it.
      rows_->when_projected(
          [this, name, target, waiting](const Status&) { make_link(name, target.string()).give(std::move(*waiting)); });
    });
  });
}

// The link as it must be now; the store may have been moved since it was made.
Answer<NodeReply> MountFilesystem::make_link(const std::string& name, const std::string& target) {
  auto log = log_.lock();
  auto there = existing(kRootNumber, name);
  if (!there) return there.error();
  if (there->exists()) {
    bool right = false;
    {
      auto state = state_.lock();
      const auto* node = state->names.node(there->number);
      right = node != nullptr && node->type == FileType::symlink && node->target == target;
    }
    // A folder of that name is from another layout; its owner must look after it.
    if (right || there->type == FileType::directory) return reply_for(*there, true);
    auto record = record_for({}, NameOp::remove);
    record.parent = kRootNumber;
    record.name = name;
    if (auto done = change(log, record); !done) return disk_error(done.error());
    collect({there->number});
  }
  auto record = record_for({}, NameOp::make_symlink);
  record.number = state_.lock()->names.take_number();
  record.parent = kRootNumber;
  record.name = name;
  record.mode = 0777;
  record.other_name = target;
  if (auto done = change(log, record); !done) return disk_error(done.error());
  return reply_for({Existing::Kind::staged, record.number, FileType::symlink}, true);
}

// `exists` when there is nothing to make, or somebody was quicker.
Answer<NodeReply> MountFilesystem::make_output(Number folder, std::string_view name) {
  auto visible = visible_entry(name);
  if (!visible.entry) return FsError::exists;
  auto top = committed_.top(*visible.entry);
  auto text = top ? top->manifest->view().header().terminal_output : std::nullopt;
  if (!text) return FsError::exists;
  auto record = record_for({}, NameOp::create);
  record.number = state_.lock()->names.take_number();
  record.parent = folder;
  record.name = name;
  record.mode = 0644;
  auto made = copy_blob(*text, record.number);
  if (made) {
    auto log = log_.lock();
    auto there = existing(folder, name);
    bool free = there && !there->exists();
    auto done = free ? change(log, record) : Status(Error{Code::internal, "made meanwhile"});
    if (done) return reply_for({Existing::Kind::staged, record.number, FileType::file}, false);
    made = free ? disk_error(done.error()) : FsError::exists;
  }
  [[maybe_unused]] auto removed = staged_.remove(record.number);
  return made.error();
}

Answer<Ok> MountFilesystem::copy_blob(const Digest& blob, Number to) {
  if (auto made = staged_.truncate(to, 0); !made) return disk_error(made.error());
  std::vector<std::byte> piece(std::min<uint64_t>(blob.size, kPiece));
  for (uint64_t offset = 0; offset < blob.size; offset += piece.size()) {
    auto wanted = std::span(piece).first(std::min<uint64_t>(piece.size(), blob.size - offset));
    auto got = committed_.read_blob(blob, wanted, offset);
    // nx takes a missing text for an empty one.
    if (!got || *got != wanted.size()) return FsError::not_found;
    if (auto written = staged_.write(to, wanted, offset); !written) return disk_error(written.error());
  }
  return Ok{};
}

// The terminal output of `hash`, copied beside the draft of `tree`: the tool goes on writing to its own file.
Result<std::optional<Digest>> MountFilesystem::stage_output(uint64_t tree, const std::string& hash) {
  Number number = 0;
  {
    auto state = state_.lock();
    auto folder = state->names.own_names(kRootNumber)->find(layout_.outputs_folder());
    const auto* node = folder ? state->names.node(folder->number) : nullptr;
    auto link = node != nullptr ? node->children.find(hash) : std::nullopt;
    const auto* file = link ? state->names.node(link->number) : nullptr;
    if (file == nullptr || file->type != FileType::file) return std::optional<Digest>{};
    number = link->number;
  }
  auto copy = io::create(staged_.folder() / output_name(tree), "terminal output", {.mode = 0600, .exclusive = false});
  if (!copy) return std::move(copy).error();
  Hasher hasher;
  std::vector<std::byte> piece(kPiece);
  for (uint64_t offset = 0;; offset += kPiece) {
    auto got = staged_.read(number, piece, offset);
    if (!got && got.error().code == Code::not_found) break;  // empty and never written
    if (!got) return std::move(got).error();
    auto bytes = std::span<const std::byte>(piece).first(*got);
    hasher.update(bytes);
    if (auto written = io::write_all(copy->get(), bytes, "terminal output"); !written)
      return std::move(written).error();
    if (*got < kPiece) break;
  }
  return std::optional(hasher.finish());
}

}  // namespace hitfs::fs
