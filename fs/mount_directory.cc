// Listings. An offset says by itself where to go on, for any worker at any time:
//   0 the beginning, 1 after ".", 2 after ".."
//   2^62 + n        after the name of this mount with the sequence number n, newest first
//   2^61 + n        after child n - 1 of a committed directory
//   [2^32, 2^52)    the root: after the name of the entry with that id, in the order of names
#include <algorithm>

#include "fs/mount_filesystem.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr uint64_t kAfterDot = 1;
constexpr uint64_t kAfterDotDot = 2;
constexpr uint64_t kOwn = 1ull << 62;
constexpr uint64_t kChild = 1ull << 61;
constexpr size_t kPage = 256;

bool is_own(uint64_t offset) { return (offset & kOwn) != 0; }
bool is_child(uint64_t offset) { return !is_own(offset) && (offset & kChild) != 0; }

}  // namespace

void MountFilesystem::read_directory(const Caller&, Number number, uint64_t offset, DirectoryFiller& filler,
                                     Reply<Ok> reply) {
  list(number, offset, filler).give(std::move(reply));
}

Answer<Ok> MountFilesystem::list(Number number, uint64_t offset, DirectoryFiller& filler) {
  auto attributes = attributes_of(number);
  if (!attributes) return attributes.error();
  if (attributes->type != FileType::directory) return FsError::not_directory;
  if (!list_dots(*attributes, offset, filler)) return Ok{};
  Number directory = state_.lock()->names.canonical(number);
  bool own_is_over = offset > kAfterDotDot && !is_own(offset);
  if (!own_is_over && !list_own(directory, offset, filler)) return Ok{};
  if (directory == kRootNumber) {
    list_entries(offset, filler);
  } else if (is_committed(directory)) {
    list_children(directory, offset, filler);
  }
  return Ok{};
}

Number MountFilesystem::parent_of(Number directory) {
  {
    auto state = state_.lock();
    directory = state->names.canonical(directory);
    if (const auto* node = state->names.node(directory)) return node->parent == 0 ? directory : node->parent;
  }
  if (!is_committed(directory)) return kRootNumber;
  auto node = committed_.node(directory);
  if (!node || node->position == 0) return kRootNumber;
  return node->entry.id + node->record().parent;
}

// Each of these answers false when the filler is full.
bool MountFilesystem::list_dots(const Attributes& directory, uint64_t offset, DirectoryFiller& filler) {
  NodeReply node;
  node.attributes = directory;
  if (offset < kAfterDot && !filler.add(".", node, kAfterDot)) return false;
  if (offset >= kAfterDotDot) return true;
  node.attributes = {};
  node.attributes.number = parent_of(directory.number);
  node.attributes.type = FileType::directory;
  return filler.add("..", node, kAfterDotDot);
}

bool MountFilesystem::fill(const ListedNames& names, bool in_root, DirectoryFiller& filler) {
  for (const auto& listed : names) {
    NodeReply node;
    node.attributes.number = listed.number;
    node.attributes.type = listed.type;
    node.handed_out = listed.handed_out;
    bool counted = filler.counts_references() && listed.handed_out;
    if (counted) {
      auto attributes = attributes_of(listed.number);
      // Gone meanwhile, or damaged: a LOOKUP will say which.
      if (!attributes || !hand_out(listed.number, listed.entry_id)) {
        counted = node.handed_out = false;
      } else {
        node = node_reply(*attributes, in_root);
      }
    }
    if (filler.add(listed.name, node, listed.next_offset)) continue;
    if (counted) references_.drop(is_committed(listed.number) ? listed.entry_id : listed.number, 1);
    return false;
  }
  return true;
}

bool MountFilesystem::list_own(Number directory, uint64_t offset, DirectoryFiller& filler) {
  uint64_t before = is_own(offset) ? offset ^ kOwn : 0;
  while (true) {
    auto page = own_page(directory, before);
    if (page.empty()) return true;
    before = page.back().next_offset ^ kOwn;
    // The last one only says where the next page begins.
    page.erase(std::remove_if(page.begin(), page.end(), [](const auto& listed) { return listed.name.empty(); }),
               page.end());
    for (auto& listed : page) {
      if (!is_committed(listed.number)) continue;
      auto entry = committed_.entry_at(listed.number);
      if (!entry) continue;
      listed.entry_id = entry->id;
      if (!listed.handed_out) listed.type = entry->kind == EntryKind::file ? FileType::file : FileType::directory;
    }
    if (!fill(page, directory == kRootNumber, filler)) return false;
  }
}

// The next names of this mount in a directory, newest first: those that it gave, in a frozen directory also those of
// the tree, and in the root those that became entries a moment ago. Left out names have an empty name.
MountFilesystem::ListedNames MountFilesystem::own_page(Number directory, uint64_t before) {
  ListedNames page;
  auto state = state_.lock();
  const auto& tree = state->names;
  const auto* own = tree.own_names(directory);
  const auto* node = tree.node(directory);
  const Names* frozen = node != nullptr && node->tree != 0 ? &node->children : nullptr;
  const Names* recent = directory == kRootNumber ? &state->recent_commits.names() : nullptr;
  while (page.size() < kPage) {
    std::optional<Names::Listed> next;
    const Names* from = nullptr;
    for (const Names* names : {own, frozen, recent}) {
      auto candidate = names == nullptr ? std::nullopt : names->before(before);
      if (!candidate || (next && candidate->link.sequence <= next->link.sequence)) continue;
      next = candidate;
      from = names;
    }
    if (!next) return page;
    before = next->link.sequence;
    ListedName listed{std::string(next->name), next->link.number};
    listed.next_offset = before | kOwn;
    listed.handed_out = from != recent;
    if (const auto* child = tree.node(listed.number)) listed.type = child->type;
    bool shadowed = from != own && own != nullptr && own->find(listed.name);
    const auto* whiteout = from == recent ? tree.whiteout(listed.name) : nullptr;
    if (shadowed || tree.is_hidden(directory, listed.name) || whiteout != nullptr) listed.name.clear();
    if (from == recent && state->retired.contains(listed.number)) listed.name.clear();
    page.push_back(std::move(listed));
  }
  return page;
}

bool MountFilesystem::list_children(Number directory, uint64_t offset, DirectoryFiller& filler) {
  auto node = committed_.node(directory);
  if (!node) return true;
  auto record = node->record();
  uint64_t index = is_child(offset) ? offset ^ kChild : 0;
  while (index < record.child_count) {
    ListedNames page;
    {
      auto state = state_.lock();
      const auto* own = state->names.own_names(directory);
      for (; index < record.child_count && page.size() < kPage; ++index) {
        CommittedNode child{node->entry, node->manifest, static_cast<uint32_t>(record.first_child + index)};
        auto below = child.record();
        if (state->names.is_hidden(directory, below.name) || (own != nullptr && own->find(below.name))) continue;
        page.push_back(
            {std::string(below.name), child.number(), below.type, node->entry.id, true, (index + 1) | kChild});
      }
    }
    if (!fill(page, false, filler)) return false;
  }
  return true;
}

bool MountFilesystem::list_entries(uint64_t offset, DirectoryFiller& filler) {
  std::string after;
  if (is_committed(offset)) {
    auto entry = committed_.entry_at(offset);
    auto bookmark = state_.lock()->bookmarks.find(offset);
    // Neither is known any more after a restart and a release at once: then the listing ends here.
    if (!entry && !bookmark) return true;
    after = entry ? entry->key.name : *bookmark;
  }
  while (true) {
    auto page = committed_.list(after, kPage);
    if (!page) {
      kLog.warn("list error={}", page.error().message);
      return true;
    }
    ListedNames names;
    {
      auto state = state_.lock();
      const auto& tree = state->names;
      for (const auto& entry : page->entries) {
        const auto& name = entry.key.name;
        const auto* whiteout = tree.whiteout(name);
        bool hidden = whiteout != nullptr && (whiteout->tree != 0 || entry.id <= whiteout->entry_id);
        if (hidden || tree.own_names(kRootNumber)->find(name) || state->recent_commits.shows(name, entry.id)) continue;
        auto type = entry.kind == EntryKind::file ? FileType::file : FileType::directory;
        names.push_back({name, entry.id, type, entry.id, false, entry.id});
        state->bookmarks.add(entry.id, name);
      }
    }
    if (!fill(names, true, filler)) return false;
    if (page->last.empty()) return true;
    after = page->last;
  }
}

}  // namespace hitfs::fs
