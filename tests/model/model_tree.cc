#include "tests/model/model_tree.h"

#include <algorithm>
#include <cerrno>

namespace hitfs::testing {

namespace {

NodePtr copy_of(const NodePtr& node) {
  auto copy = std::make_shared<ModelNode>(*node);
  for (auto& [name, child] : copy->children) child = copy_of(child);
  return copy;
}

bool equal(const NodePtr& a, const NodePtr& b) {
  if (a->type != b->type || a->mode != b->mode || a->bytes != b->bytes) return false;
  return std::equal(a->children.begin(), a->children.end(), b->children.begin(), b->children.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first && equal(x.second, y.second); });
}

void for_each(const NodePtr& node, const std::function<void(ModelNode&)>& visit) {
  visit(*node);
  for (auto& [name, child] : node->children) for_each(child, visit);
}

// The entry's top shows when it came here; what is inside shows its source's times.
NodePtr fresh(const NodePtr& original, uint64_t entry) {
  auto copy = copy_of(original);
  for_each(copy, [entry](ModelNode& node) { node.entry = entry; });
  copy->mtime_ns.reset();
  return copy;
}

Seen seen_of(const ModelNode& node) {
  Seen seen;
  seen.type = node.type;
  if (node.type != FileType::symlink) seen.mode = node.mode;
  if (node.type == FileType::file) seen.mtime_ns = node.mtime_ns;
  seen.bytes = node.bytes;
  return seen;
}

std::string join(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

std::string first_name(const std::string& path) { return path.substr(0, path.find('/')); }

void visit_all(const std::string& path, const std::map<std::string, NodePtr>& children,
               const std::function<void(const std::string&, const ModelNode&)>& visit) {
  for (const auto& [name, node] : children) {
    auto here = join(path, name);
    visit(here, *node);
    visit_all(here, node->children, visit);
  }
}

}  // namespace

std::map<std::string, std::string> arriving(const Operation& operation) {
  if (operation.offset % 2 == 0) return {{"", operation.bytes()}};
  return {{"p", operation.bytes()}, {"q/r", "from elsewhere"}};
}

NodePtr tree_of(const std::map<std::string, std::string>& text) {
  auto top = std::make_shared<ModelNode>();
  if (auto file = text.find(""); file != text.end()) {
    top->bytes = file->second;
    return top;
  }
  auto make = [](ModelNode& folder, const std::string& name, FileType type) {
    auto& node = folder.children[name];
    if (!node) node = std::make_shared<ModelNode>();
    node->type = type;
    node->mode = type == FileType::directory ? 0755 : 0644;
    return node;
  };
  top->type = FileType::directory;
  top->mode = 0755;
  for (const auto& [path, bytes] : text) {
    auto folder = top;
    size_t begin = 0;
    for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', begin)) {
      folder = make(*folder, path.substr(begin, slash - begin), FileType::directory);
      begin = slash + 1;
    }
    make(*folder, path.substr(begin), FileType::file)->bytes = bytes;
  }
  return top;
}

// --- names ---

NodePtr ModelTree::at_top(const std::string& name) const {
  if (auto own = own_.find(name); own != own_.end()) return own->second;
  if (hidden_.contains(name)) return nullptr;
  auto stored = store_.find(name);
  return stored == store_.end() ? nullptr : stored->second.shown;
}

std::map<std::string, NodePtr> ModelTree::top() const {
  auto names = own_;
  for (const auto& [name, stored] : store_) {
    if (auto node = at_top(name)) names[name] = node;
  }
  return names;
}

ModelTree::Place ModelTree::locate(const std::string& path) const {
  Place place;
  size_t begin = 0;
  while (true) {
    size_t slash = path.find('/', begin);
    place.name = path.substr(begin, slash - begin);
    if (!place.parent) {
      place.node = at_top(place.name);
    } else {
      auto child = place.parent->children.find(place.name);
      place.node = child == place.parent->children.end() ? nullptr : child->second;
    }
    if (slash == std::string::npos) return place;
    if (!place.node || place.node->type == FileType::symlink) place.error = ENOENT;
    if (place.node && place.node->type == FileType::file) place.error = ENOTDIR;
    if (place.error != 0) return place;
    place.parent = place.node;
    begin = slash + 1;
  }
}

// A lookup of a name at the top brings an entry that only a remote has.
void ModelTree::pull(const std::string& path) {
  auto name = first_name(path);
  auto there = remote_.find(name);
  if (there == remote_.end() || away_ || own_.contains(name) || hidden_.contains(name) || store_.contains(name)) return;
  auto entry = ++entries_;
  store_[name] = {fresh(there->second, entry), fresh(there->second, entry)};
}

void ModelTree::take_away(const Place& place) {
  if (place.parent) {
    place.parent->children.erase(place.name);
    return;
  }
  if (place.is_entry()) hidden_[place.name] = place.node->entry;
  own_.erase(place.name);
}

void ModelTree::put(const Place& place, NodePtr node) {
  (place.parent ? place.parent->children : own_)[place.name] = std::move(node);
}

// --- steps ---

Seen ModelTree::apply(const Operation& operation) {
  if (!operation.path.empty()) pull(operation.path);
  if (!operation.to.empty()) pull(operation.to);
  switch (operation.act) {
    case Act::create: return make(operation, FileType::file);
    case Act::make_directory: return make(operation, FileType::directory);
    case Act::make_symlink: return make(operation, FileType::symlink);
    case Act::write:
    case Act::append:
    case Act::truncate:
    case Act::set_mode:
    case Act::set_time:
    case Act::look:
    case Act::sync_file: return change(operation);
    case Act::unlink:
    case Act::remove_directory: return remove(operation);
    case Act::rename: return rename(operation);
    case Act::list: return list(operation);
    case Act::open: return open(operation);
    case Act::close:
    case Act::write_open:
    case Act::truncate_open:
    case Act::look_open: return change_open(operation);
    default: return disturb(operation);
  }
}

Seen ModelTree::make(const Operation& operation, FileType type) {
  auto place = locate(operation.path);
  if (place.error != 0) return Seen::failed(place.error);
  if (place.node) return Seen::failed(EEXIST);
  auto node = std::make_shared<ModelNode>();
  node->type = type;
  node->mode = operation.mode;
  if (type == FileType::symlink) node->bytes = kLinkTarget;
  put(place, node);
  auto seen = seen_of(*node);
  seen.bytes.clear();
  return seen;
}

void ModelTree::change_bytes(ModelNode& node, Act act, const Operation& operation) {
  node.mtime_ns.reset();
  if (act == Act::truncate) return node.bytes.resize(operation.size);
  size_t offset = act == Act::append ? node.bytes.size() : operation.offset;
  if (node.bytes.size() < offset + operation.size) node.bytes.resize(offset + operation.size);
  node.bytes.replace(offset, operation.size, operation.bytes());
}

Seen ModelTree::change(const Operation& operation) {
  auto place = locate(operation.path);
  if (place.error != 0) return Seen::failed(place.error);
  if (!place.node) return Seen::failed(ENOENT);
  auto& node = *place.node;
  if (operation.act == Act::look) return seen_of(node);
  // A program's call goes through the link, to nothing.
  if (node.type == FileType::symlink) return Seen::failed(ENOENT);
  if (operation.act == Act::set_mode) node.mode = operation.mode;
  if (operation.act == Act::set_time) node.mtime_ns = operation.time_ns;
  if (operation.act == Act::set_mode || operation.act == Act::set_time) return {};
  if (node.type == FileType::directory) return Seen::failed(EISDIR);
  if (operation.act != Act::sync_file) change_bytes(node, operation.act, operation);
  return {};
}

Seen ModelTree::remove(const Operation& operation) {
  auto place = locate(operation.path);
  if (place.error != 0) return Seen::failed(place.error);
  if (!place.node) return Seen::failed(ENOENT);
  bool directory = place.node->type == FileType::directory;
  if (operation.act == Act::unlink && directory) return Seen::failed(EISDIR);
  if (operation.act == Act::remove_directory && !directory) return Seen::failed(ENOTDIR);
  if (!place.node->children.empty()) return Seen::failed(ENOTEMPTY);
  take_away(place);
  return {};
}

// In the order in which the kernel asks, and the mount after it.
int ModelTree::may_rename(const Operation& operation, const Place& from, const Place& to) const {
  const auto& source = *from.node;
  if (to.node && operation.how == RenameHow::no_replace) return EEXIST;
  if (!to.node && operation.how == RenameHow::exchange) return ENOENT;
  if ((operation.to + "/").starts_with(operation.path + "/") && operation.path != operation.to) return EINVAL;
  if ((operation.path + "/").starts_with(operation.to + "/") && operation.path != operation.to) {
    return operation.how == RenameHow::exchange ? EINVAL : ENOTEMPTY;
  }
  if (from.node == to.node) return 0;
  bool directory = source.type == FileType::directory;
  if (to.node && operation.how != RenameHow::exchange) {
    if (directory && to.node->type != FileType::directory) return ENOTDIR;
    if (!directory && to.node->type == FileType::directory) return EISDIR;
  }
  if (operation.how == RenameHow::exchange) return EINVAL;
  // What came with an entry stays in it, and its directories where they are.
  bool same_entry = to.parent && to.parent->entry == source.entry;
  if (source.entry != 0 && (!from.parent || directory || !same_entry)) return EXDEV;
  if (!to.node || to.is_entry()) return 0;
  return to.node->children.empty() ? 0 : ENOTEMPTY;
}

Seen ModelTree::rename(const Operation& operation) {
  auto from = locate(operation.path);
  if (from.error != 0) return Seen::failed(from.error);
  auto to = locate(operation.to);
  if (to.error != 0) return Seen::failed(to.error);
  if (!from.node) return Seen::failed(ENOENT);
  if (int error = may_rename(operation, from, to); error != 0) return Seen::failed(error);
  if (from.node == to.node) return {};
  auto node = from.node;
  take_away(from);
  if (to.node) take_away(to);
  put(to, node);
  bool from_entry_name = !from.parent && is_entry_(from.name);
  bool completes = !to.parent && is_entry_(to.name) && !from_entry_name && node->entry == 0;
  if (completes && node->type != FileType::symlink) complete(to.name, node);
  return {};
}

Seen ModelTree::list(const Operation& operation) const {
  Seen seen;
  seen.type = FileType::directory;
  if (operation.path.empty()) {
    for (const auto& [name, node] : top()) seen.names.push_back(name);
    return seen;
  }
  auto place = locate(operation.path);
  if (place.error != 0) return Seen::failed(place.error);
  if (!place.node || place.node->type == FileType::symlink) return Seen::failed(ENOENT);
  if (place.node->type != FileType::directory) return Seen::failed(ENOTDIR);
  for (const auto& [name, node] : place.node->children) seen.names.push_back(name);
  return seen;
}

Seen ModelTree::open(const Operation& operation) {
  auto place = locate(operation.path);
  if (place.error != 0) return Seen::failed(place.error);
  if (!place.node || place.node->type == FileType::symlink) return Seen::failed(ENOENT);
  if (place.node->type == FileType::directory) return Seen::failed(EISDIR);
  slots_[operation.slot] = place.node;
  return {};
}

Seen ModelTree::change_open(const Operation& operation) {
  auto& node = slots_[operation.slot];
  if (!node) return Seen::failed(EBADF);
  switch (operation.act) {
    case Act::look_open: return seen_of(*node);
    case Act::write_open: change_bytes(*node, Act::write, operation); break;
    case Act::truncate_open: change_bytes(*node, Act::truncate, operation); break;
    default: node.reset();
  }
  return {};
}

// --- what happens around ---

Seen ModelTree::disturb(const Operation& operation) {
  switch (operation.act) {
    case Act::remount: remount(); break;
    case Act::daemon_away:
      settle();
      away_ = true;
      break;
    case Act::daemon_back:
      away_ = false;
      settle();
      break;
    case Act::settle: settle(); break;
    case Act::evict:
      if (away_) break;
      settle();
      // There is nothing left to hide.
      if (store_.erase(operation.path) != 0) hidden_.erase(operation.path);
      break;
    case Act::arrive: arrive(operation); break;
    default: break;
  }
  return {};
}

// The tree is an entry from now on: for everybody what it is at this moment, here with what is changed later.
void ModelTree::complete(const std::string& name, const NodePtr& tree) {
  auto entry = ++entries_;
  for_each(tree, [entry](ModelNode& node) { node.entry = entry; });
  tree->mtime_ns.reset();
  hidden_.erase(name);
  // Equal bytes are the same entry: files that were open in it are files of this tree then, with the older times.
  std::vector<NodePtr> before;
  if (auto stored = store_.find(name); stored != store_.end()) before.push_back(stored->second.original);
  if (auto waiting = pending_.find(name); waiting != pending_.end()) before.push_back(waiting->second);
  for (const auto& older : before) {
    if (!equal(older, tree)) continue;
    for_each(tree, [](ModelNode& node) { node.mtime_ns.reset(); });
    for (size_t slot = 0; slot < kSlots; ++slot) {
      if (slots_[slot] && slots_[slot]->entry == older->entry) doubtful_.push_back(slot);
    }
  }
  for (size_t slot = 0; slot < kSlots && open_is_doubtful_; ++slot) {
    if (slots_[slot] && slots_[slot]->entry == entry) doubtful_.push_back(slot);
  }
  pending_[name] = copy_of(tree);
  finished_[name] = tree;
}

void ModelTree::settle() {
  if (away_) return;
  for (const auto& [name, original] : pending_) {
    auto own = own_.find(name);
    if (own != own_.end() && own->second == finished_[name]) own_.erase(own);
    // What hides an older entry does not hide this one.
    if (auto hidden = hidden_.find(name); hidden != hidden_.end() && hidden->second != original->entry) {
      hidden_.erase(hidden);
    }
    store_[name] = {original, finished_[name]};
  }
  pending_.clear();
  finished_.clear();
}

// The mount's own names stay; what it hid and changed of entries is forgotten.
void ModelTree::remount() {
  settle();
  slots_ = {};
  hidden_.clear();
  for (auto& [name, original] : pending_) {
    auto shown = fresh(original, original->entry);
    auto own = own_.find(name);
    if (own != own_.end() && own->second == finished_[name]) own->second = shown;
    finished_[name] = shown;
  }
  for (auto& [name, stored] : store_) stored.shown = fresh(stored.original, stored.original->entry);
}

void ModelTree::arrive(const Operation& operation) {
  if (away_) return;
  settle();
  auto entry = ++entries_;
  auto tree = tree_of(arriving(operation));
  store_[operation.path] = {fresh(tree, entry), fresh(tree, entry)};
  hidden_.erase(operation.path);
}

// --- for whoever runs it ---

std::vector<Operation> ModelTree::look_at_everything() const {
  std::vector<Operation> looks;
  auto look = [&](Act act, const std::string& path, size_t slot = 0) {
    Operation operation;
    operation.act = act;
    operation.path = path;
    operation.slot = slot;
    looks.push_back(operation);
  };
  look(Act::list, "");
  visit_all("", top(), [&](const std::string& path, const ModelNode& node) {
    look(Act::look, path);
    if (node.type == FileType::directory) look(Act::list, path);
  });
  for (size_t slot = 0; slot < kSlots; ++slot) {
    if (slots_[slot]) look(Act::look_open, "", slot);
  }
  return looks;
}

std::vector<std::string> ModelTree::paths(FileType type) const {
  std::vector<std::string> found;
  visit_all("", top(), [&](const std::string& path, const ModelNode& node) {
    if (node.type == type) found.push_back(path);
  });
  return found;
}

}  // namespace hitfs::testing
