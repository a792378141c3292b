// What a NameTree knows, and how it is written out again; apply() is in name_tree.cc and name_tree_frozen.cc.
#include "fs/names/name_tree.h"

namespace hitfs::fs {

Number NameTree::canonical(Number number) const {
  if (!is_staging(number)) return number;
  auto found = aliases_.find(number);
  return found == aliases_.end() ? number : found->second.target;
}

const StagedNode* NameTree::node(Number number) const {
  auto found = nodes_.find(number);
  return found == nodes_.end() ? nullptr : &found->second;
}

const Overlay* NameTree::overlay(Number number) const {
  auto found = overlays_.find(number);
  return found == overlays_.end() ? nullptr : &found->second;
}

const Names* NameTree::own_names(Number directory) const {
  if (directory == kRootNumber) return &root_;
  if (const auto* staged = node(directory); staged != nullptr && staged->tree == 0) return &staged->children;
  const auto* changed = overlay(directory);
  return changed == nullptr ? nullptr : &changed->names;
}

bool NameTree::is_hidden(Number directory, std::string_view name) const {
  const auto* changed = overlay(directory);
  return changed != nullptr && changed->hidden.contains(name);
}

NameTree::Child NameTree::child(Number directory, std::string_view name) const {
  if (const auto* own = own_names(directory)) {
    if (auto link = own->find(name)) return {ChildKind::linked, link->number, true};
  }
  if (directory == kRootNumber) return {ChildKind::underneath};
  const auto* staged = node(directory);
  if (staged != nullptr && staged->tree == 0) return {ChildKind::none};
  if (is_hidden(directory, name)) return {ChildKind::hidden};
  if (staged != nullptr) {
    auto link = staged->children.find(name);
    return link ? Child{ChildKind::linked, link->number} : Child{ChildKind::none};
  }
  return {is_committed(directory) ? ChildKind::underneath : ChildKind::none};
}

const Whiteout* NameTree::whiteout(std::string_view name) const {
  auto found = whiteouts_.find(name);
  return found == whiteouts_.end() ? nullptr : &found->second;
}

void NameTree::drop_whiteout(std::string_view name) {
  if (auto found = whiteouts_.find(name); found != whiteouts_.end()) whiteouts_.erase(found);
}

void NameTree::drop_alias(Number number) {
  auto found = aliases_.find(number);
  if (found == aliases_.end()) return;
  auto count = alias_counts_.find(found->second.entry_id);
  if (--count->second == 0) alias_counts_.erase(count);
  auto [first, last] = alias_of_.equal_range(found->second.target);
  while (first != last && first->second != number) ++first;
  if (first != last) alias_of_.erase(first);
  aliases_.erase(found);
}

std::optional<Names::Link> NameTree::link_of(const FrozenTree& tree) const {
  auto link = root_.find(tree.name);
  return link && link->number == tree.numbers[0] ? link : std::nullopt;
}

std::vector<Number> NameTree::other_numbers(Number number) const {
  Number target = canonical(number);
  std::vector<Number> others;
  auto [first, last] = alias_of_.equal_range(target);
  for (; first != last; ++first) {
    if (first->second != number) others.push_back(first->second);
  }
  if (target != number) others.push_back(target);
  return others;
}

void NameTree::drop_orphan(Number number) {
  if (orphans_.erase(number) == 0) return;
  nodes_.erase(number);
  if (auto changed = overlays_.extract(number); changed && changed.mapped().data != 0) {
    dropped_.data.push_back(changed.mapped().data);
  }
}

std::shared_ptr<const Names> NameTree::frozen_names(Number number) const {
  auto found = aliases_.find(number);
  return found == aliases_.end() ? nullptr : found->second.children;
}

std::unordered_set<Number> NameTree::data_numbers() const {
  std::unordered_set<Number> numbers;
  for (const auto& [number, node] : nodes_) {
    if (node.type == FileType::file) numbers.insert(number);
  }
  for (const auto& [number, overlay] : overlays_) {
    if (overlay.data != 0) numbers.insert(overlay.data);
  }
  return numbers;
}

std::optional<Number> NameTree::done(uint64_t unique) const {
  auto found = done_.find(unique);
  if (found == done_.end()) return std::nullopt;
  return found->second;
}

size_t NameTree::live_records() const {
  size_t records = nodes_.size() * 2 + whiteouts_.size() + aliases_.size() + trees_.size() + done_.size();
  for (const auto& [number, overlay] : overlays_) records += 2 + overlay.hidden.size() + overlay.names.size();
  return records;
}

void NameTree::snapshot(const Emit& emit) const {
  emit({.op = NameOp::session,
        .number = next_number_,
        .parent = first_of_mount_,
        .other_parent = next_tree_,
        .value = connection_,
        .tree = next_sequence_,
        .name = boot_id_});
  for (uint64_t unique : done_order_) emit({.op = NameOp::done, .unique = unique, .number = done_.at(unique)});
  emit_names(kRootNumber, root_, false, emit);
  for (Number number : orphans_) emit_nameless(number, emit);
  for (const auto& [id, tree] : trees_) {
    const auto* top = node(tree.numbers[0]);
    if (top != nullptr && !link_of(tree)) emit_nameless(tree.numbers[0], emit);
  }
  for (const auto& [id, tree] : trees_) {
    emit({.op = NameOp::complete, .number = tree.numbers[0], .tree = id, .name = tree.name});
    if (tree.synced) emit({.op = NameOp::synced, .tree = id});
  }
  emit_overlays(emit);
  for (const auto& [name, whiteout] : whiteouts_) {
    emit({.op = NameOp::whiteout, .value = whiteout.entry_id, .tree = whiteout.tree, .name = name});
  }
  for (const auto& [number, alias] : aliases_) {
    emit({.op = NameOp::alias, .number = number, .other_parent = alias.entry_id, .value = alias.target});
  }
  emit({.op = NameOp::attributes, .number = kRootNumber, .mode = root_mode_, .mtime_ns = root_mtime_ns_});
}

// A directory's children come between the record that makes it and the one that gives it its time. With a stack of its
// own: nobody bounds how deep directories lie.
void NameTree::emit_names(Number directory, const Names& names, bool in_overlay, const Emit& emit) const {
  struct Level {
    Number directory;
    const Names& names;
    decltype(names.all().begin()) next;
  };
  std::vector<Level> levels{{directory, names, names.all().begin()}};
  while (!levels.empty()) {
    auto& level = levels.back();
    if (level.next == level.names.all().end()) {
      if (levels.size() > 1) emit_time(level.directory, emit);
      levels.pop_back();
      continue;
    }
    const auto& [name, link] = *level.next++;
    const auto* child = node(link.number);
    bool is_reference = child == nullptr || (in_overlay && levels.size() == 1 && child->tree != 0);
    if (is_reference) {
      emit(
          {.op = NameOp::link, .number = link.number, .parent = level.directory, .value = link.sequence, .name = name});
      continue;
    }
    emit_made(link.number, *child, level.directory, name, link.sequence, emit);
    if (child->type == FileType::directory) {
      levels.push_back({link.number, child->children, child->children.all().begin()});
    }
  }
}

void NameTree::emit_made(Number number, const StagedNode& node, Number parent, std::string_view name, uint64_t sequence,
                         const Emit& emit) const {
  NameOp op = node.type == FileType::file        ? NameOp::create
              : node.type == FileType::directory ? NameOp::make_directory
                                                 : NameOp::make_symlink;
  emit({.op = op,
        .time_ns = node.mtime_ns,
        .number = number,
        .parent = parent,
        .value = sequence,
        .mode = node.mode,
        .atime_ns = node.atime_ns,
        .name = std::string(name),
        .other_name = node.target});
}

void NameTree::emit_time(Number number, const Emit& emit) const {
  emit({.op = NameOp::attributes, .number = number, .mtime_ns = node(number)->mtime_ns});
}

// One that has no name.
void NameTree::emit_nameless(Number number, const Emit& emit) const {
  const auto& top = *node(number);
  emit_made(number, top, 0, "", 0, emit);
  if (top.type != FileType::directory) return;
  emit_names(number, top.children, false, emit);
  emit_time(number, emit);
}

void NameTree::emit_overlays(const Emit& emit) const {
  for (const auto& [number, overlay] : overlays_) {
    if (overlay.data != 0) emit({.op = NameOp::copy_up, .number = number, .value = overlay.data});
    for (const auto& name : overlay.hidden) emit({.op = NameOp::hide, .parent = number, .name = name});
    emit_names(number, overlay.names, true, emit);
    emit({.op = NameOp::attributes,
          .number = number,
          .mode = overlay.mode,
          .mtime_ns = overlay.mtime_ns,
          .atime_ns = overlay.atime_ns});
  }
}

}  // namespace hitfs::fs
