// Names and attributes: what is here, in this order: this mount's names, its whiteouts and overlays, the store,
// remotes.
#include <algorithm>

#include "fs/mount_filesystem.h"
#include "store/base/json.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};

// "For ever": what is below an entry never changes, and what this mount changes the kernel knows itself.
constexpr Nanoseconds kForever = std::chrono::hours(24 * 365);
// A top-level name is asked for again now and then: that is how uses are counted.
constexpr Nanoseconds kTopTimeout = std::chrono::seconds(60);
constexpr Nanoseconds kStagedFileTimeout = std::chrono::seconds(60);
constexpr Nanoseconds kChangingTimeout = std::chrono::seconds(1);

constexpr size_t kLongestName = 255;
// Names can move from staging to the store between two steps of one request, once per step.
constexpr int kTries = 8;

}  // namespace

Answer<MountFilesystem::Existing> MountFilesystem::existing(Number parent, std::string_view name) {
  using Kind = Existing::Kind;
  if (name.size() > kLongestName) return FsError::name_too_long;
  Number directory = 0;
  NameTree::Child child;
  {
    auto state = state_.lock();
    directory = state->names.canonical(parent);
    if (is_staging(directory)) {
      const auto* node = state->names.node(directory);
      if (node == nullptr) return FsError::not_found;
      if (node->type != FileType::directory) return FsError::not_directory;
    }
    child = state->names.child(directory, name);
    if (const auto* node = state->names.node(child.number); child.kind == NameTree::ChildKind::linked && node) {
      bool at_top = node->tree != 0 && node->position == 0;
      return Existing{node->tree == 0 ? Kind::staged : Kind::frozen, child.number, node->type, 0, at_top};
    }
  }
  if (child.kind == NameTree::ChildKind::linked) {
    auto node = committed_.node(child.number);
    if (!node) return Existing{};
    return Existing{Kind::committed, child.number, node->record().type, node->entry.id};
  }
  if (directory == kRootNumber) {
    auto visible = visible_entry(name);
    if (!visible.entry) return Existing{.hidden = visible.hidden};
    auto type = visible.entry->kind == EntryKind::file ? FileType::file : FileType::directory;
    return Existing{Kind::committed, visible.entry->id, type, visible.entry->id, true};
  }
  if (!is_committed(directory)) return Existing{};
  auto node = committed_.node(directory);
  if (!node) {
    report_damage(directory, node.error());
    return FsError::io;
  }
  if (node->record().type != FileType::directory) return FsError::not_directory;
  auto below = Committed::child(*node, name);
  if (child.kind != NameTree::ChildKind::underneath || !below) return Existing{};
  return Existing{Kind::committed, below->number(), below->record().type, node->entry.id};
}

// A store that cannot be read is a miss: the build goes on without it.
MountFilesystem::Visible MountFilesystem::visible_entry(std::string_view name) {
  auto found = committed_.find(name);
  if (!found) {
    kLog.warn("lookup name={} error={}", name, found.error().message);
    return {};
  }
  if (!*found && rows_) *found = published_entry(name);
  auto state = state_.lock();
  if (is_being_stored(*state, name)) return {std::nullopt, true};
  const auto* whiteout = state->names.whiteout(name);
  if (whiteout == nullptr) return {*std::move(found)};
  if (whiteout->tree != 0) return {std::nullopt, true};
  if (!*found) return {};
  if ((*found)->id <= whiteout->entry_id) return {std::nullopt, true};
  return {*std::move(found)};
}

void MountFilesystem::lookup(const Caller& caller, Number parent, std::string_view name, Reply<NodeReply> reply) {
  if (rows_ && lookup_made(caller, parent, name, reply)) return;
  if (auto answer = lookup_here(parent, name)) return answer->give(std::move(reply));
  auto key = committed_.key_of(name);
  if (!key) return reply.fail(FsError::not_found);
  if (!rows_) return lookups_->wait_for(*key, std::string(name), caller.unique, std::move(reply));
  if (is_promised(name)) return lookup_promised(*key, std::string(name), caller.unique, std::move(reply));
  // Where rows decide, a name without one is asked for by whoever is about to make it.
  note_miss(name);
  reply.fail(FsError::not_found);
}

// Nothing when a remote may have it.
std::optional<Answer<NodeReply>> MountFilesystem::lookup_here(Number parent, std::string_view name) {
  for (int i = 0; i < kTries; ++i) {
    auto found = existing(parent, name);
    if (!found) return found.error();
    if (!found->exists()) {
      if (parent == kRootNumber && !found->hidden) return std::nullopt;
      return FsError::not_found;
    }
    auto answer = reply_for(*found, parent == kRootNumber);
    // Gone between two steps: then it is somewhere else, or nowhere.
    if (answer || answer.error() != FsError::not_found) return answer;
  }
  return FsError::not_found;
}

Answer<NodeReply> MountFilesystem::reply_for(const Existing& found, bool in_root) {
  auto attributes = attributes_of(found.number);
  if (!attributes) {
    // A top-level name whose entry cannot be read is a miss, so that the tool builds.
    return found.kind == Existing::Kind::committed && found.at_top ? FsError::not_found : attributes.error();
  }
  if (!hand_out(found.number, found.entry_id)) return FsError::not_found;
  if (found.kind == Existing::Kind::committed && found.at_top) count_use(found.number);
  return node_reply(*attributes, in_root);
}

NodeReply MountFilesystem::node_reply(const Attributes& attributes, bool in_root) {
  auto timeout = attributes_reply(attributes).timeout;
  return {attributes, in_root ? kTopTimeout : kForever, timeout};
}

AttributesReply MountFilesystem::attributes_reply(const Attributes& attributes) {
  auto state = state_.lock();
  Number number = state->names.canonical(attributes.number);
  bool changes = number == kRootNumber || is_staging(number) || state->names.overlay(number) != nullptr;
  if (!changes) return {attributes, kForever};
  return {attributes, attributes.type == FileType::directory ? kChangingTimeout : kStagedFileTimeout};
}

// References are added with the lock held under which the last one is looked for: what is handed out stays.
bool MountFilesystem::hand_out(Number number, uint64_t entry_id, uint64_t count) {
  auto state = state_.lock();
  if (number == kRootNumber) return true;
  if (is_committed(number)) {
    if (state->released.contains(entry_id)) return false;
    references_.add(entry_id, count);
    return true;
  }
  if (state->names.node(number) == nullptr) return false;
  references_.add(number, count);
  return true;
}

void MountFilesystem::forget(Number number, uint64_t count) {
  if (is_committed(number)) {
    auto entry = committed_.entry_at(number);
    if (entry) return references_.drop(entry->id, count);
    return kLog.warn("forget number={} error={}", number, entry.error().message);
  }
  if (!is_staging(number)) return;
  references_.drop(number, count);
  if (references_.count(number) == 0) collect({number});
}

// Removes what has no name and no reference; what is still in use stays.
void MountFilesystem::collect(const std::vector<Number>& numbers) {
  std::vector<Number> dead;
  {
    auto state = state_.lock();
    for (Number number : numbers) {
      if (references_.count(number) != 0) continue;
      state->names.drop_alias(number);
      if (!state->names.orphans().contains(number)) continue;
      state->names.drop_orphan(number);
      dead.push_back(number);
    }
  }
  for (Number number : dead) {
    if (auto removed = staged_.remove(number); !removed) {
      kLog.warn("staging remove number={} error={}", number, removed.error().message);
    }
  }
  if (!dead.empty()) clean_up_dropped();
}

MountFilesystem::Known MountFilesystem::known(Number number) {
  auto state = state_.lock();
  Known known;
  known.number = state->names.canonical(number);
  if (const auto* changed = state->names.overlay(known.number)) known.changed = *changed;
  const auto* node = state->names.node(known.number);
  if (node == nullptr) return known;
  known.staged = *node;
  known.target_size = node->target.size();
  if (auto draft = state->drafts.find(node->tree); draft != state->drafts.end()) known.draft = draft->second;
  return known;
}

Answer<Attributes> MountFilesystem::attributes_of(Number number) {
  if (number == kRootNumber) return root_attributes();
  for (int i = 0; i < kTries; ++i) {
    auto facts = known(number);
    if (facts.staged) {
      auto attributes = staged_attributes(facts);
      if (!attributes) continue;
      if (*attributes) (*attributes)->number = number;
      return *attributes;
    }
    if (!is_committed(facts.number)) return FsError::not_found;
    auto node = committed_.node(facts.number);
    if (!node) {
      report_damage(facts.number, node.error());
      return FsError::io;
    }
    auto attributes = committed_attributes(*node);
    if (attributes) attributes->number = number;
    return attributes;
  }
  return FsError::io;
}

std::optional<Answer<Attributes>> MountFilesystem::staged_attributes(const Known& facts) {
  Attributes attributes;
  attributes.number = facts.number;
  attributes.type = facts.staged->type;
  attributes.mode = facts.staged->mode;
  attributes.size = facts.target_size;
  attributes.mtime_ns = attributes.ctime_ns = facts.staged->mtime_ns;
  attributes.atime_ns = facts.staged->atime_ns.value_or(facts.staged->mtime_ns);
  attributes.uid = options_.uid;
  attributes.gid = options_.gid;
  if (attributes.type == FileType::file) {
    auto info = staged_.info(facts.number);
    if (!info) return disk_error(info.error());
    if (*info) {
      attributes.size = (*info)->size;
      attributes.mtime_ns = (*info)->mtime_ns;
      attributes.ctime_ns = (*info)->ctime_ns;
      attributes.atime_ns = (*info)->atime_ns;
    } else if (facts.draft) {
      // The daemon has taken the file and tells us in a moment.
      auto record = facts.draft->view.at(facts.staged->position);
      attributes.size = record.size;
      attributes.mtime_ns = attributes.ctime_ns = attributes.atime_ns = record.mtime_ns;
    } else if (facts.staged->tree != 0 && !known(facts.number).staged) {
      return std::nullopt;
    }
  }
  return overlaid(attributes, facts.changed);
}

Answer<Attributes> MountFilesystem::committed_attributes(const CommittedNode& node) {
  auto attributes = Committed::attributes(node);
  attributes.uid = options_.uid;
  attributes.gid = options_.gid;
  return overlaid(attributes, known(attributes.number).changed);
}

Answer<Attributes> MountFilesystem::overlaid(Attributes attributes, const std::optional<OverlayFacts>& changed) const {
  if (!changed) return attributes;
  if (changed->mode) attributes.mode = *changed->mode;
  if (changed->mtime_ns) attributes.mtime_ns = attributes.ctime_ns = *changed->mtime_ns;
  if (changed->atime_ns) attributes.atime_ns = *changed->atime_ns;
  if (changed->data == 0) return attributes;
  auto info = staged_.info(changed->data);
  if (!info) return disk_error(info.error());
  attributes.size = *info ? (*info)->size : 0;
  if (!*info) return attributes;
  attributes.mtime_ns = (*info)->mtime_ns;
  attributes.ctime_ns = (*info)->ctime_ns;
  attributes.atime_ns = (*info)->atime_ns;
  return attributes;
}

Attributes MountFilesystem::root_attributes() {
  auto state = state_.lock();
  Attributes attributes;
  attributes.number = kRootNumber;
  attributes.type = FileType::directory;
  attributes.mode = state->names.root_mode().value_or(0755);
  attributes.mtime_ns = attributes.ctime_ns = attributes.atime_ns = state->names.root_mtime_ns();
  attributes.uid = options_.uid;
  attributes.gid = options_.gid;
  return attributes;
}

void MountFilesystem::get_attributes(const Caller&, Number number, Reply<AttributesReply> reply) {
  auto attributes = attributes_of(number);
  if (!attributes) return reply.fail(attributes.error());
  reply.send(attributes_reply(*attributes));
}

void MountFilesystem::read_link(const Caller&, Number number, Reply<std::string> reply) {
  std::optional<std::string> target;
  Number canonical = 0;
  {
    auto state = state_.lock();
    canonical = state->names.canonical(number);
    if (const auto* node = state->names.node(canonical); node != nullptr && node->type == FileType::symlink) {
      target = node->target;
    }
  }
  if (target) return reply.send(*target);
  if (!is_committed(canonical)) return reply.fail(FsError::invalid);
  auto node = committed_.node(canonical);
  if (!node) {
    report_damage(canonical, node.error());
    return reply.fail(FsError::io);
  }
  auto record = node->record();
  if (record.type != FileType::symlink) return reply.fail(FsError::invalid);
  reply.send(std::string(record.target));
}

void MountFilesystem::interrupt(uint64_t unique) { lookups_->interrupt(unique); }

void MountFilesystem::count_use(Number entry_id) {
  auto entry = committed_.entry_at(entry_id);
  if (!entry) return;
  constexpr size_t kMost = 65536;
  auto state = state_.lock();
  if (state->uses.size() < kMost) state->uses.emplace(entry->id, entry->key);
}

std::vector<Use> MountFilesystem::take_uses() {
  std::vector<Use> uses;
  auto state = state_.lock();
  uses.reserve(state->uses.size());
  for (auto& [entry_id, key] : state->uses) uses.push_back({std::move(key), entry_id, true});
  state->uses.clear();
  return uses;
}

// The daemon checks the entry and drops what is damaged, so that it is pulled again. Nobody waits for it.
void MountFilesystem::report_damage(Number number, const Error& error) {
  kLog.error("damaged number={} error={}", number, error.message);
  auto entry = committed_.entry_at(number);
  if (!entry) return;
  {
    auto state = state_.lock();
    auto now = options_.clock->now();
    auto [reported, first] = state->damage_reports.try_emplace(entry->key.text(), now);
    if (!first && now - reported->second < std::chrono::minutes(1)) return;
    reported->second = now;
    if (state->damage_reports.size() > 1024) state->damage_reports.clear();
  }
  tasks_->add([this, key = entry->key] {
    Json body;
    body["key"] = key.text();
    auto done = daemon_.call("POST", "/v1/verify", body, Deadline::after(std::chrono::seconds(60)));
    if (!done) kLog.warn("verify key={} error={}", key.text(), done.error().message);
  });
}

void MountFilesystem::space(const Caller&, Reply<SpaceReply> reply) {
  // Nx takes ten per cent of the total as its own limit (seen from 20.8 to 24.0), and others look at what is free: one
  // pebibyte, which programs that count in doubles still hold exactly. What the disk really has shows itself as ENOSPC.
  SpaceReply space;
  space.block_size = 4096;
  space.blocks = space.free_blocks = (1ull << 50) / space.block_size;
  space.files = space.free_files = 1ull << 32;
  reply.send(space);
}

}  // namespace hitfs::fs
