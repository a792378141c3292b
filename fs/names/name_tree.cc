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
    first_of_mount_ = record.parent != 0 ? record.parent : next_number_;
    done_.clear();
    done_order_.clear();
    whiteouts_.clear();
    aliases_.clear();
    alias_of_.clear();
    alias_counts_.clear();
    for (auto& [number, overlay] : overlays_) orphan_below(std::move(overlay.names));
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
  if (!is_staging(record.number) || aliases_.contains(record.number)) return;
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
  if (directory != top && node(top)->children.empty()) return false;
  for (size_t steps = 0; steps <= nodes_.size(); ++steps) {
    if (directory == top) return true;
    const auto* above = node(directory);
    if (above == nullptr || above->tree != 0) return false;
    directory = above->parent;
  }
  return true;
}

// What gets a name is there, and does not come to lie within itself. What is frozen gets names in its own tree only,
// and its directories none.
bool NameTree::may_link(Number directory, Number number) const {
  const auto* what = node(number);
  if (what == nullptr) return is_committed(number);
  if (what->tree == 0) return what->type != FileType::directory || !lies_within(directory, number);
  const auto* where = node(directory);
  return where != nullptr && where->tree == what->tree && what->type != FileType::directory;
}

// What is not frozen has one name.
void NameTree::leave_name(Number number, const StagedNode& node) {
  if (node.parent == 0) return;
  auto* names = names_for_change(node.parent);
  auto former = names == nullptr ? std::nullopt : names->find(node.name);
  if (former && former->number == number) names->unlink(node.name);
}

void NameTree::link(Number directory, std::string_view name, Number number, uint64_t sequence, int64_t time_ns) {
  auto* names = names_for_change(directory);
  if (names == nullptr || !may_link(canonical(directory), number)) return;
  auto* node = find(number);
  if (node != nullptr && node->tree == 0) leave_name(number, *node);
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

// However deep they lie.
void NameTree::orphan_below(Names names) {
  std::vector<Names> levels;
  for (levels.push_back(std::move(names)); !levels.empty();) {
    Names level = std::move(levels.back());
    levels.pop_back();
    for (const auto& [name, link] : level.all()) {
      auto* node = find(link.number);
      if (node == nullptr || node->tree != 0) continue;
      detach(link.number);
      if (!node->children.empty()) levels.push_back(std::exchange(node->children, {}));
    }
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
    orphan_below(std::move(it->second.names));
  }
  overlays_.erase(begin, end);
}

}  // namespace hitfs::fs
