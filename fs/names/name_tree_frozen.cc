// Trees on their way to become entries: frozen, promoted, entries, dropped, thawed.
#include <algorithm>
#include <utility>

#include "fs/names/name_tree.h"

namespace hitfs::fs {

bool NameTree::may_freeze(Number root, uint64_t tree) const {
  const auto* top = node(root);
  bool at_top = top != nullptr && (top->parent == kRootNumber || top->parent == 0);
  return at_top && top->tree == 0 && tree != 0 && !trees_.contains(tree);
}

// Numbers the nodes breadth-first with the names of a directory sorted by their bytes: the canonical order of
// manifests.
void NameTree::freeze(Number root, uint64_t tree, std::string_view name) {
  next_tree_ = std::max(next_tree_, tree + 1);
  if (!may_freeze(root, tree)) return;
  FrozenTree frozen;
  frozen.name = name;
  frozen.numbers.push_back(root);
  for (size_t i = 0; i < frozen.numbers.size(); ++i) {
    auto* node = find(frozen.numbers[i]);
    node->tree = tree;
    node->position = static_cast<uint32_t>(i);
    orphans_.erase(frozen.numbers[i]);
    std::vector<std::pair<std::string_view, Number>> below;
    for (const auto& [child, link] : node->children.all()) {
      if (find(link.number) != nullptr) below.emplace_back(child, link.number);
    }
    std::sort(below.begin(), below.end());
    for (const auto& [child, number] : below) frozen.numbers.push_back(number);
  }
  trees_[tree] = std::move(frozen);
}

void NameTree::promote(const NameRecord& record) {
  if (!is_staging(record.value) || find(record.value) != nullptr) return;
  Number lower = canonical(record.number);
  StagedNode node;
  node.mode = record.mode.value_or(0644);
  node.mtime_ns = record.time_ns;
  overlays_.erase(lower);
  nodes_[record.value] = std::move(node);
  link(kRootNumber, record.name, record.value, 0, record.time_ns);
  freeze(record.value, record.tree, record.name);
}

// A number is a node or an alias, and leads to an entry: never back to this mount.
void NameTree::add_alias(Number number, Alias alias) {
  if (find(number) != nullptr || !is_committed(alias.target) || aliases_.contains(number)) return;
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
  orphan_below(std::move(overlay.names));
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

}  // namespace hitfs::fs
