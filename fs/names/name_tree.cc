#include "fs/names/name_tree.h"

#include <algorithm>
#include <utility>

namespace hitfs::fs {

void NameTree::apply(const NameRecord& record) {
  switch (record.op) {
    case NameOp::session: begin_session(record); break;
    case NameOp::create:
    case NameOp::make_directory:
    case NameOp::make_symlink: make_node(record); break;
    case NameOp::link: link(record.parent, record.name, record.number, record.value, record.time_ns); break;
    case NameOp::remove: remove(record); break;
    case NameOp::rename: rename(record); break;
    case NameOp::attributes: change_attributes(record); break;
    case NameOp::copy_up: {
      overlay_for(canonical(record.number)).data = record.value;
      next_number_ = std::max(next_number_, record.value + 1);
      break;
    }
    case NameOp::drop_overlay: drop_overlays(canonical(record.number), std::max<uint64_t>(1, record.value)); break;
    case NameOp::complete: freeze(record.number, record.tree, record.name); break;
    case NameOp::promote: promote(record); break;
    case NameOp::committed: become_entry(record.tree, record.value); break;
    case NameOp::dropped: drop_tree(record.tree); break;
    case NameOp::synced:
      if (auto found = trees_.find(record.tree); found != trees_.end()) found->second.synced = true;
      break;
    case NameOp::whiteout: whiteouts_[record.name] = {record.value, record.tree}; break;
    case NameOp::alias: add_alias(record.number, {record.value, record.other_parent, nullptr}); break;
    case NameOp::done: break;
    case NameOp::thaw: thaw(record.tree); break;
    case NameOp::hide: overlay_for(canonical(record.parent)).hidden.insert(record.name); break;
  }
  if (record.unique != 0) remember_done(record.unique, record.number);
}

void NameTree::begin_session(const NameRecord& record) {
  next_number_ = std::max(next_number_, record.number);
  next_sequence_ = std::max(next_sequence_, record.tree);
  next_tree_ = std::max(next_tree_, record.other_parent);
  bool same_mount = record.value != 0 && record.value == connection_;
  connection_ = record.value;
  if (!same_mount) {
    done_.clear();
    done_order_.clear();
    whiteouts_.clear();
    aliases_.clear();
    alias_of_.clear();
    alias_counts_.clear();
    for (auto& [number, overlay] : overlays_) orphan_below(overlay.names);
    overlays_.clear();
  }
  bool same_boot = boot_id_.empty() || boot_id_ == record.name;
  boot_id_ = record.name;
  if (same_boot) return;
  // A power cut may have taken bytes of what was not synced: such a tree must never become an entry.
  std::vector<uint64_t> doubtful;
  for (const auto& [id, tree] : trees_) {
    if (!tree.synced) doubtful.push_back(id);
  }
  for (uint64_t id : doubtful) drop_tree(id);
}

void NameTree::make_node(const NameRecord& record) {
  StagedNode node;
  node.type = record.op == NameOp::create           ? FileType::file
              : record.op == NameOp::make_directory ? FileType::directory
                                                    : FileType::symlink;
  node.mode = record.mode.value_or(0);
  node.mtime_ns = record.mtime_ns.value_or(record.time_ns);
  node.atime_ns = record.atime_ns;
  node.target = record.other_name;
  next_number_ = std::max(next_number_, record.number + 1);
  // A snapshot makes a file with two names twice.
  bool is_new = nodes_.try_emplace(record.number, std::move(node)).second;
  if (record.parent == 0) {
    if (is_new) orphans_.insert(record.number);
  } else {
    link(record.parent, record.name, record.number, record.value, record.time_ns);
  }
}

StagedNode* NameTree::find(Number number) {
  auto found = nodes_.find(number);
  return found == nodes_.end() ? nullptr : &found->second;
}

Overlay& NameTree::overlay_for(Number number) { return overlays_[number]; }

Names* NameTree::names_for_change(Number directory) {
  directory = canonical(directory);
  if (directory == kRootNumber) return &root_;
  if (!is_staging(directory)) return &overlay_for(directory).names;
  auto* node = find(directory);
  if (node == nullptr || node->type != FileType::directory) return nullptr;
  return node->tree == 0 ? &node->children : &overlay_for(directory).names;
}

void NameTree::touch(Number directory, int64_t time_ns) {
  directory = canonical(directory);
  if (directory == kRootNumber) return touch_root(time_ns);
  auto* node = find(directory);
  if (node != nullptr && node->tree == 0) {
    node->mtime_ns = std::max(time_ns, after(node->mtime_ns));
    return;
  }
  auto& mtime = overlay_for(directory).mtime_ns;
  mtime = std::max(time_ns, after(mtime.value_or(0)));
}

// Whether the directory is `top` or somewhere below it. What is frozen never gets names of its own again, and keeps the
// place that it had.
bool NameTree::lies_within(Number directory, Number top) const {
  for (size_t steps = 0; steps <= nodes_.size(); ++steps) {
    if (directory == top) return true;
    const auto* above = node(directory);
    if (above == nullptr || above->tree != 0) return false;
    directory = above->parent;
  }
  return true;
}

void NameTree::link(Number directory, std::string_view name, Number number, uint64_t sequence, int64_t time_ns) {
  auto* names = names_for_change(directory);
  if (names == nullptr) return;
  auto* node = find(number);
  if (node != nullptr && node->type == FileType::directory && lies_within(canonical(directory), number)) return;
  if (auto old = names->find(name); old && old->number != number) detach(old->number);
  if (sequence == 0 || names->is_taken(sequence, name)) sequence = next_sequence_;
  next_sequence_ = std::max(next_sequence_, sequence + 1);
  names->link(name, {number, sequence});
  if (node != nullptr && node->tree == 0) {
    node->parent = canonical(directory);
    node->name = name;
    orphans_.erase(number);
  }
  touch(directory, time_ns);
}

void NameTree::unlink(Number directory, std::string_view name, int64_t time_ns) {
  directory = canonical(directory);
  auto* names = names_for_change(directory);
  if (names == nullptr) return;
  names->unlink(name);
  auto* node = find(directory);
  bool has_lower = directory != kRootNumber && (node == nullptr || node->tree != 0);
  if (has_lower) overlay_for(directory).hidden.emplace(name);
  touch(directory, time_ns);
}

void NameTree::detach(Number number) {
  auto* node = find(number);
  if (node == nullptr) return;
  if (node->tree != 0) {
    // The root of a frozen tree keeps its bytes until the tree is an entry; a name inside stays part of the tree.
    if (node->position == 0) node->parent = 0;
    return;
  }
  node->parent = 0;
  orphans_.insert(number);
}

void NameTree::orphan_below(const Names& names) {
  for (const auto& [name, link] : names.all()) {
    auto* node = find(link.number);
    if (node == nullptr || node->tree != 0) continue;
    detach(link.number);
    Names below = std::exchange(node->children, {});
    orphan_below(below);
  }
}

// A tree that loses its name at the top before it is an entry: when it is one, that is not shown here.
void NameTree::hide_pending(Number directory, std::string_view name) {
  auto link = canonical(directory) == kRootNumber ? root_.find(name) : std::nullopt;
  auto* node = link ? find(link->number) : nullptr;
  if (node != nullptr && node->tree != 0) whiteouts_[std::string(name)].tree = node->tree;
}

void NameTree::remove(const NameRecord& record) {
  auto* names = names_for_change(record.parent);
  if (names == nullptr) return;
  hide_pending(record.parent, record.name);
  if (auto link = names->find(record.name)) detach(link->number);
  unlink(record.parent, record.name, record.time_ns);
  if (record.value != 0) whiteouts_[record.name].entry_id = record.value;
}

void NameTree::rename(const NameRecord& record) {
  unlink(record.parent, record.name, record.time_ns);
  if (record.tree == 0) hide_pending(record.other_parent, record.other_name);
  link(record.other_parent, record.other_name, record.number, 0, record.time_ns);
  if (record.value != 0) whiteouts_[record.other_name].entry_id = record.value;
  if (record.tree != 0) freeze(record.number, record.tree, record.other_name);
}

void NameTree::change_attributes(const NameRecord& record) {
  Number number = canonical(record.number);
  if (number == kRootNumber) {
    if (record.mode) root_mode_ = record.mode;
    if (record.mtime_ns) root_mtime_ns_ = std::max(root_mtime_ns_, *record.mtime_ns);
    return;
  }
  if (auto* node = find(number); node != nullptr && node->tree == 0) {
    if (record.mode) node->mode = *record.mode;
    if (record.mtime_ns) node->mtime_ns = *record.mtime_ns;
    if (record.atime_ns) node->atime_ns = record.atime_ns;
    return;
  }
  if (is_staging(number) && find(number) == nullptr) return;
  auto& overlay = overlay_for(number);
  if (record.mode) overlay.mode = record.mode;
  if (record.mtime_ns) overlay.mtime_ns = record.mtime_ns;
  if (record.atime_ns) overlay.atime_ns = record.atime_ns;
}

// Numbers the nodes breadth-first with the names of a directory sorted by their bytes: the canonical order of
// manifests.
void NameTree::freeze(Number root, uint64_t tree, std::string_view name) {
  next_tree_ = std::max(next_tree_, tree + 1);
  if (find(root) == nullptr) return;
  FrozenTree frozen;
  frozen.name = name;
  frozen.numbers.push_back(root);
  std::unordered_set<Number> met{root};
  for (size_t i = 0; i < frozen.numbers.size(); ++i) {
    auto* node = find(frozen.numbers[i]);
    node->tree = tree;
    node->position = static_cast<uint32_t>(i);
    orphans_.erase(frozen.numbers[i]);
    std::vector<std::pair<std::string_view, Number>> below;
    for (const auto& [child, link] : node->children.all()) {
      if (find(link.number) != nullptr && met.insert(link.number).second) below.emplace_back(child, link.number);
    }
    std::sort(below.begin(), below.end());
    for (const auto& [child, number] : below) frozen.numbers.push_back(number);
  }
  trees_[tree] = std::move(frozen);
}

void NameTree::promote(const NameRecord& record) {
  Number lower = canonical(record.number);
  StagedNode node;
  node.mode = record.mode.value_or(0644);
  node.mtime_ns = record.time_ns;
  overlays_.erase(lower);
  nodes_[record.value] = std::move(node);
  link(kRootNumber, record.name, record.value, 0, record.time_ns);
  freeze(record.value, record.tree, record.name);
}

void NameTree::add_alias(Number number, Alias alias) {
  ++alias_counts_[alias.entry_id];
  alias_of_.emplace(alias.target, number);
  aliases_[number] = std::move(alias);
}

void NameTree::become_entry(uint64_t tree, uint64_t entry_id) {
  auto found = trees_.find(tree);
  if (found == trees_.end()) return;
  FrozenTree frozen = std::move(found->second);
  trees_.erase(found);
  // The entry may have been here before with the same bytes: what this mount had removed inside is there again.
  drop_overlays(entry_id, frozen.numbers.size());
  for (size_t position = 0; position < frozen.numbers.size(); ++position) {
    Number number = frozen.numbers[position];
    Number committed = entry_id + position;
    auto node = nodes_.extract(number);
    if (!node) continue;
    orphans_.erase(number);
    auto children = std::make_shared<const Names>(std::move(node.mapped().children));
    add_alias(number, {committed, entry_id, children->empty() ? nullptr : std::move(children)});
    if (auto changed = overlays_.extract(number)) {
      changed.key() = committed;
      overlays_.insert(std::move(changed));
    }
  }
  // Names inside that this mount moved point to the committed numbers now.
  for (auto it = overlays_.lower_bound(entry_id); it != overlays_.end() && it->first < entry_id + frozen.numbers.size();
       ++it) {
    std::vector<std::pair<std::string, Names::Link>> moved;
    for (const auto& [name, link] : it->second.names.all()) {
      if (canonical(link.number) != link.number) moved.emplace_back(name, link);
      if (auto* node = find(link.number)) node->parent = it->first;
    }
    for (auto& [name, link] : moved) it->second.names.link(name, {canonical(link.number), link.sequence});
  }
  if (link_of(frozen)) root_.unlink(frozen.name);
  auto whiteout = whiteouts_.find(frozen.name);
  if (whiteout == whiteouts_.end()) return;
  if (whiteout->second.tree == tree) {
    whiteout->second = {std::max(whiteout->second.entry_id, entry_id), 0};
  } else if (whiteout->second.tree == 0 && !root_.find(frozen.name)) {
    whiteouts_.erase(whiteout);
  }
}

// A file of a dropped tree that a program has open keeps what was written to it.
void NameTree::keep_changes(Number number, StagedNode& node) {
  auto changed = overlays_.extract(number);
  if (!changed) return;
  auto& overlay = changed.mapped();
  orphan_below(overlay.names);
  node.mode = overlay.mode.value_or(node.mode);
  node.mtime_ns = overlay.mtime_ns.value_or(node.mtime_ns);
  if (overlay.atime_ns) node.atime_ns = overlay.atime_ns;
  if (overlay.data != 0) overlay_for(number).data = overlay.data;
}

void NameTree::drop_tree(uint64_t tree) {
  auto found = trees_.find(tree);
  if (found == trees_.end()) return;
  FrozenTree frozen = std::move(found->second);
  trees_.erase(found);
  if (link_of(frozen)) root_.unlink(frozen.name);
  for (Number number : frozen.numbers) {
    auto* node = find(number);
    if (node == nullptr) continue;
    node->tree = 0;
    node->children = {};
    detach(number);
    keep_changes(number, *node);
  }
  auto whiteout = whiteouts_.find(frozen.name);
  if (whiteout == whiteouts_.end() || whiteout->second.tree != tree) return;
  whiteout->second.tree = 0;
  if (whiteout->second.entry_id == 0) whiteouts_.erase(whiteout);
}

// What was changed in the tree since it was frozen stays with it: then it stays frozen, for nobody. A tree that has
// lost its name goes.
void NameTree::thaw(uint64_t tree) {
  auto found = trees_.find(tree);
  if (found == trees_.end()) return;
  const auto& frozen = found->second;
  if (!link_of(frozen)) return drop_tree(tree);
  bool changed = std::any_of(frozen.numbers.begin(), frozen.numbers.end(),
                             [&](Number number) { return overlays_.contains(number); });
  if (changed) return;
  for (Number number : frozen.numbers) {
    auto* node = find(number);
    if (node == nullptr) continue;
    node->tree = 0;
    node->position = 0;
  }
  trees_.erase(found);
}

bool NameTree::is_whole(uint64_t first, uint64_t span) const {
  auto end = overlays_.lower_bound(first + span);
  return std::none_of(overlays_.lower_bound(first), end,
                      [](const auto& overlay) { return overlay.second.data != 0 || !overlay.second.hidden.empty(); });
}

void NameTree::remember_done(uint64_t unique, Number number) {
  if (done_.insert_or_assign(unique, number).second) done_order_.push_back(unique);
  if (done_order_.size() <= kRememberedRequests) return;
  done_.erase(done_order_.front());
  done_order_.pop_front();
}

void NameTree::drop_overlays(Number first, uint64_t span) {
  auto begin = overlays_.lower_bound(first);
  auto end = overlays_.lower_bound(first + span);
  for (auto it = begin; it != end; ++it) {
    if (it->second.data != 0) dropped_.data.push_back(it->second.data);
    dropped_.numbers.push_back(it->first);
    orphan_below(it->second.names);
  }
  overlays_.erase(begin, end);
}

}  // namespace hitfs::fs
