// Layouts whose tool believes rows in databases more than names: rows come after names and go before them.
#include <algorithm>

#include "fs/mount_filesystem.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr size_t kPage = 1024;
// As many names are remembered to be without rows; beyond that some rows are looked for in vain.
constexpr size_t kMostWithoutRows = 65'536;
constexpr Milliseconds kStuckPause{1000};
constexpr std::string_view kDatabase = ".db";

}  // namespace

Status MountFilesystem::start_rows() {
  if (!layout_.has_rows()) return Ok{};
  rows_ =
      std::make_unique<RowKeeper>(options_.store.private_folder(options_.mount_name), static_cast<RowSource&>(*this));
  unpacker_ = std::make_unique<Unpacker>(daemon_, std::string(layout_.space()));
  if (auto begun = rows_->begin(); !begun) return begun;
  unpack_what_is_packed();
  if (options_.uid == 0) make_private_place();
  return Ok{};
}

void MountFilesystem::unpack_what_is_packed() {
  auto packed = committed_.packed();
  if (packed) return unpacker_->add(*std::move(packed));
  kLog.warn("packed entries error=\"{}\"", packed.error().message);
}

// --- what may have a row ---

// True when `name` shows an entry as it was stored: nothing of it is removed or written over in this mount.
bool MountFilesystem::shows_whole(const MountState& state, const std::string& name, const Entry& entry) const {
  const auto& names = state.names;
  if (names.own_names(kRootNumber)->find(name) || is_being_stored(state, name)) return false;
  const auto* whiteout = names.whiteout(name);
  if (whiteout != nullptr && (whiteout->tree != 0 || entry.id <= whiteout->entry_id)) return false;
  return names.is_whole(entry.id, entry.span);
}

void MountFilesystem::leave() {
  if (rows_) rows_->leave();
}

bool MountFilesystem::publish(const std::string& hash) {
  auto found = committed_.find(hash);
  if (!found || !*found || (*found)->exit_code != 0 || (*found)->kind != EntryKind::directory) return false;
  // No name changes meanwhile: a removal either is seen here, or meets the row.
  auto log = log_.lock();
  auto state = state_.lock();
  if (!shows_whole(*state, hash, **found)) return false;
  state->published[hash] = {(*found)->id};
  state->announced.erase(hash);
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
  if (promise_in_the_way(new_parent, new_name, rows)) return true;
  bool at_top = parent == kRootNumber && new_parent == kRootNumber;
  // Both halves of a store: aside, and back in place.
  if (at_top && (layout_.aside(name) == new_name || layout_.aside(new_name) == name)) return false;
  if (rows_in_the_way(parent, name, rows)) return true;
  return target.exists() && rows_in_the_way(new_parent, new_name, rows);
}

// Carries a change out when the rows in its way are gone, on the keeper's thread: no row is made in between.
template <typename T>
void MountFilesystem::after_rows(const RowsFirst& rows, std::function<Answer<T>(RowsFirst&)> change, Reply<T> reply) {
  auto waiting = std::make_shared<Reply<T>>(std::move(reply));
  auto done = [this, rows, change = std::move(change), waiting](const Status& removed) {
    if (!removed) {
      kLog.warn("rows of={} stay, and so does the name: {}", rows.hash + rows.database, removed.error().message);
      return waiting->fail(FsError::busy);
    }
    {
      auto state = state_.lock();
      if (state->without_rows.size() > kMostWithoutRows) state->without_rows.clear();
      state->announced.erase(rows.hash);
      // It may have come meanwhile: then other databases have its row.
      if (!rows.promise) {
        state->without_rows.insert(rows.hash + rows.database);
        state->published.erase(rows.hash);
      }
    }
    RowsFirst more;
    auto answer = change(more);
    if (more.any()) return after_rows(more, change, std::move(*waiting));
    if (!answer && !rows.hash.empty()) rows_->project(rows.hash);  // its files stay
    answer.give(std::move(*waiting));
  };
  if (rows.hash.empty()) return rows_->wipe(rows.database, std::move(done));
  if (rows.promise) return rows_->withdraw(rows.hash, std::move(done));
  rows_->remove(rows.hash, std::move(done));
}

template void MountFilesystem::after_rows(const RowsFirst&, std::function<Answer<Ok>(RowsFirst&)>, Reply<Ok>);
template void MountFilesystem::after_rows(const RowsFirst&, std::function<Answer<NodeReply>(RowsFirst&)>,
                                          Reply<NodeReply>);

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

// Its rows are gone since the worker began; who read one before that must find the files.
void MountFilesystem::show_for_a_while(const Entry& retired) {
  auto now = committed_.find(retired.key.name);
  if (committed_.key_of(retired.key.name) != retired.key || !now || *now) return;
  auto state = state_.lock();
  if (!shows_whole(*state, retired.key.name, retired)) return;
  state->published[retired.key.name] = {retired.id, PublishedEntry::State::gone,
                                        options_.clock->now() + options_.row_grace};
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
  mend_broken_stores();
  show_what_was_kept_back();
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
    rows_->announce({name});  // a remote may have it
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

}  // namespace hitfs::fs
