#include "fs/committed.h"

#include <algorithm>

namespace hitfs::fs {

namespace {

bool has_tree(const Entry& entry) { return entry.kind == EntryKind::file || entry.kind == EntryKind::directory; }

}  // namespace

std::optional<Key> Committed::key_of(std::string_view name) const {
  auto placement = layout_.place(name);
  if (placement.name_class != NameClass::entry) return std::nullopt;
  return Key{scope_, std::move(placement.space), std::move(placement.name)};
}

Result<std::optional<Entry>> Committed::find(std::string_view name) const {
  auto key = key_of(name);
  if (!key) return std::optional<Entry>{};
  auto entry = reader_.find(*key);
  if (!entry && entry.error().code == Code::not_found) return std::optional<Entry>{};
  if (!entry) return in_context("find " + key->text(), std::move(entry).error());
  if (!has_tree(*entry)) return std::optional<Entry>{};
  return std::optional(*std::move(entry));
}

Result<CommittedNode> Committed::top(const Entry& entry) const {
  auto manifest = reader_.manifest(entry.id);
  if (!manifest) return in_context("manifest of " + entry.key.text(), std::move(manifest).error());
  if ((*manifest)->view().size() == 0) return Error{Code::corrupt, entry.key.text() + " has no tree"};
  return CommittedNode{entry, *std::move(manifest), 0};
}

Result<CommittedNode> Committed::node(Number number) const {
  auto entry = reader_.containing(number);
  if (!entry) return std::move(entry).error();
  auto node = top(*entry);
  if (!node) return node;
  uint64_t position = number - entry->id;
  if (position >= node->manifest->view().size()) {
    return Error{Code::corrupt, entry->key.text() + " has no position " + std::to_string(position)};
  }
  node->position = static_cast<uint32_t>(position);
  return node;
}

std::optional<CommittedNode> Committed::child(const CommittedNode& directory, std::string_view name) {
  auto position = directory.manifest->view().child(directory.position, name);
  if (!position) return std::nullopt;
  return CommittedNode{directory.entry, directory.manifest, *position};
}

Attributes Committed::attributes(const CommittedNode& node) {
  auto record = node.record();
  Attributes attributes;
  attributes.number = node.number();
  attributes.type = record.type;
  attributes.mode = record.mode & 0777;
  attributes.size = record.size;
  attributes.mtime_ns = attributes.ctime_ns = attributes.atime_ns = record.mtime_ns;
  if (node.position == 0) {
    attributes.mtime_ns = attributes.ctime_ns = node.entry.created_ns;
    attributes.atime_ns = std::max(node.entry.created_ns, node.entry.last_used_ns);
  }
  return attributes;
}

Result<size_t> Committed::read(const CommittedNode& node, std::span<std::byte> into, uint64_t offset) const {
  auto record = node.record();
  if (offset >= record.size) return size_t{0};
  into = into.first(std::min<uint64_t>(into.size(), record.size - offset));
  const auto* digest = std::get_if<Digest>(&record.content);
  if (digest == nullptr) return Error{Code::corrupt, "a committed file without digest"};
  auto got = reader_.read(*digest, into, offset);
  if (!got) return got;
  if (*got != into.size()) return Error{Code::corrupt, "blob " + digest->text() + " is too short"};
  return got;
}

Result<Committed::Page> Committed::list(const std::string& after, size_t limit) const {
  auto entries = reader_.list(scope_, std::string(layout_.space()), after, limit);
  if (!entries) return in_context("list the store", std::move(entries).error());
  Page page;
  if (entries->size() == limit) page.last = entries->back().key.name;
  for (auto& entry : *entries) {
    auto key = key_of(entry.key.name);
    if (has_tree(entry) && key && *key == entry.key) page.entries.push_back(std::move(entry));
  }
  return page;
}

Result<std::vector<std::string>> Committed::packed() const {
  constexpr size_t kPage = 1024;
  std::vector<std::pair<int64_t, std::string>> found;
  std::string after;
  while (true) {
    auto entries = reader_.list(scope_, std::string(layout_.space()), after, kPage);
    if (!entries) return in_context("list the store", std::move(entries).error());
    for (auto& entry : *entries) {
      after = entry.key.name;
      bool fits = entry.kind == EntryKind::artifact && entry.exit_code == 0 && key_of(entry.key.name);
      if (fits) found.emplace_back(entry.last_used_ns, std::move(entry.key.name));
    }
    if (entries->size() < kPage) break;
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> names;
  for (auto& [used, name] : found) names.push_back(std::move(name));
  return names;
}

}  // namespace hitfs::fs
