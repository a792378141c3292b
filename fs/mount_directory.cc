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
  bool own_is_over = offset > kAfterDotDot && !is_own(offset);
  if (!own_is_over && !list_own(number, offset, filler)) return Ok{};
  if (number == kRootNumber) list_entries(offset, filler);
  Number directory = 0;
  {
    // Under the number that it had in staging, a directory is listed as it was there.
    auto state = state_.lock();
    if (state->names.frozen_names(number) == nullptr) directory = state->names.canonical(number);
  }
  if (is_committed(directory)) list_children(directory, offset, filler);
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

bool MountFilesystem::list_own(Number number, uint64_t offset, DirectoryFiller& filler) {
  uint64_t before = is_own(offset) ? offset ^ kOwn : 0;
  while (true) {
    auto page = own_page(number, before);
    if (page.empty()) return true;
    before = page.back().next_offset ^ kOwn;
    std::erase_if(page, [&](ListedName& listed) { return listed.name.empty() || !resolve(number, listed); });
    if (!fill(page, number == kRootNumber, filler)) return false;
  }
}

// Fills in what the store knows of a name; false when it is gone.
bool MountFilesystem::resolve(Number directory, ListedName& listed) {
  if (!listed.resolve && !is_committed(listed.number)) return true;
  if (!listed.resolve) {
    auto node = committed_.node(listed.number);
    if (!node) return false;
    listed.entry_id = node->entry.id;
    listed.type = node->record().type;
    return true;
  }
  auto found = existing(directory, listed.name);
  if (!found || !found->exists()) return false;
  listed.number = found->number;
  listed.type = found->type;
  listed.entry_id = found->entry_id;
  return true;
}

// The next names of this mount in a directory, newest first: those that it gave, those of a frozen tree, and in the
// root those that became entries a moment ago. Names to be left out are empty: they only say where the listing goes on.
MountFilesystem::ListedNames MountFilesystem::own_page(Number number, uint64_t before) {
  ListedNames page;
  auto state = state_.lock();
  const auto& tree = state->names;
  Number directory = tree.canonical(number);
  auto kept = tree.frozen_names(number);
  const auto* own = tree.own_names(directory);
  const auto* node = tree.node(directory);
  const Names* frozen = node != nullptr && node->tree != 0 ? &node->children : kept.get();
  const Names* recent = number == kRootNumber ? &state->recent_commits.names() : nullptr;
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
    listed.resolve = from == recent || (from == frozen && kept != nullptr);
    if (const auto* child = tree.node(listed.number)) listed.type = child->type;
    bool shadowed = from != own && own != nullptr && own->find(listed.name);
    bool hidden = from == frozen && tree.is_hidden(directory, listed.name);
    if (shadowed || hidden) listed.name.clear();
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
        hidden = hidden || is_being_stored(*state, name);
        bool listed_before = tree.own_names(kRootNumber)->find(name) || state->recent_commits.names().find(name);
        if (hidden || listed_before) continue;
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
