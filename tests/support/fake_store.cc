#include "tests/support/fake_store.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "store/base/clock.h"
#include "store/base/io.h"

namespace hitfs::testing {

namespace {

constexpr int64_t kSourceTime = 1'500'000'000'000'000'000;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Makes the folders above `path` and returns the node of the last one.
ManifestBuilder::Node folder_of(ManifestBuilder& tree, const std::string& path) {
  ManifestBuilder::Node node = 0;
  size_t begin = 0;
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', begin)) {
    std::string name = path.substr(begin, slash - begin);
    auto found = tree.find(node, name);
    node = found ? *found : tree.add_directory(node, name, 0755, kSourceTime).value();
    begin = slash + 1;
  }
  return node;
}

bool same_bytes(const ManifestView& a, const ManifestView& b) {
  if (a.size() != b.size()) return false;
  for (uint32_t i = 0; i < a.size(); ++i) {
    auto x = a.at(i);
    auto y = b.at(i);
    if (x.type != y.type || x.mode != y.mode || x.name != y.name || x.target != y.target || x.parent != y.parent ||
        x.content != y.content) {
      return false;
    }
  }
  return true;
}

}  // namespace

FakeStore::FakeStore(std::filesystem::path folder) : folder_(std::move(folder)) {
  std::filesystem::create_directories(folder_);
}

Entry FakeStore::add(State& state, const Key& key, ManifestBuilder& tree, EntryKind kind, std::optional<Entry>* retired,
                     const std::optional<Digest>& output) {
  ManifestHeader header;
  header.terminal_output = output;
  header.key = key;
  header.kind = kind;
  header.entry_id = state.next_id;
  auto bytes = tree.finish(header);
  auto view = ManifestView::parse(io::as_bytes(bytes)).value();
  Entry entry;
  entry.id = state.next_id;
  entry.span = view.size();
  entry.key = key;
  entry.kind = kind;
  entry.bytes = view.total_bytes();
  entry.files = view.total_files();
  entry.created_ns = system_clock().unix_ns();
  state.next_id += entry.span;
  if (auto old = state.visible.find(key); old != state.visible.end()) {
    auto& old_entry = state.entries.at(old->second);
    old_entry.retired = true;
    if (retired) *retired = old_entry;
  }
  auto path = folder_ / std::to_string(entry.id);
  std::ofstream(path, std::ios::binary) << bytes;
  state.manifests[entry.id] = MappedManifest::open(path.string()).value();
  state.entries[entry.id] = entry;
  state.visible[key] = entry.id;
  return entry;
}

Entry FakeStore::commit(const Key& key, const TreeText& text, std::optional<Entry>* retired) {
  return commit(key, text, retired, nullptr);
}

Entry FakeStore::commit_with_output(const Key& key, const TreeText& text, const std::string& output) {
  return commit(key, text, nullptr, &output);
}

Entry FakeStore::commit(const Key& key, const TreeText& text, std::optional<Entry>* retired,
                        const std::string* output) {
  auto state = state_.lock();
  ManifestBuilder tree;
  EntryKind kind = EntryKind::directory;
  auto blob = [&](const std::string& bytes) {
    auto digest = Digest::of(io::as_bytes(bytes));
    state->blobs[digest.hex()] = bytes;
    return digest;
  };
  if (auto file = text.find(""); file != text.end()) {
    kind = EntryKind::file;
    tree.root_file(0644, kSourceTime, file->second.size(), blob(file->second));
  } else {
    tree.root_directory(0755, kSourceTime);
    for (auto [path, bytes] : text) {
      auto parent = folder_of(tree, path);
      auto name = path.substr(path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1);
      if (name.empty()) continue;
      if (name.back() == '@') {
        name.pop_back();
        tree.add_symlink(parent, name, bytes, kSourceTime).value();
      } else {
        tree.add_file(parent, name, 0644, kSourceTime, bytes.size(), blob(bytes)).value();
      }
    }
  }
  return add(*state, key, tree, kind, retired, output ? std::optional(blob(*output)) : std::nullopt);
}

Result<Entry> FakeStore::commit_draft(const ManifestView& draft, const std::filesystem::path& staging, bool move,
                                      std::optional<Entry>* retired) {
  auto state = state_.lock();
  ManifestBuilder tree;
  std::vector<ManifestBuilder::Node> nodes;
  std::vector<std::filesystem::path> taken;
  for (uint32_t position = 0; position < draft.size(); ++position) {
    auto record = draft.at(position);
    auto content = record.content;
    if (record.type == FileType::file) {
      const auto* staged = std::get_if<StagedNumber>(&content);
      if (staged == nullptr) return Error{Code::invalid_argument, "the manifest is no draft"};
      auto path = staging / std::to_string(staged->number);
      if (!std::filesystem::exists(path)) return Error{Code::not_found, "staged file " + path.string()};
      auto bytes = text_of(path);
      if (bytes.size() != record.size) return Error{Code::corrupt, "staged file of another size " + path.string()};
      auto digest = Digest::of(io::as_bytes(bytes));
      state->blobs[digest.hex()] = std::move(bytes);
      content = digest;
      taken.push_back(path);
    }
    auto parent = position == 0 ? 0 : nodes[record.parent];
    std::string name(record.name);
    switch (record.type) {
      case FileType::directory:
        nodes.push_back(position == 0 ? tree.root_directory(record.mode, record.mtime_ns)
                                      : tree.add_directory(parent, name, record.mode, record.mtime_ns).value());
        break;
      case FileType::file:
        nodes.push_back(position == 0
                            ? tree.root_file(record.mode, record.mtime_ns, record.size, content)
                            : tree.add_file(parent, name, record.mode, record.mtime_ns, record.size, content).value());
        break;
      case FileType::symlink:
        nodes.push_back(tree.add_symlink(parent, name, std::string(record.target), record.mtime_ns).value());
        break;
    }
  }
  auto key = draft.header().key;
  if (auto old = state->visible.find(key); old != state->visible.end()) {
    auto bytes = tree.finish(draft.header());
    if (same_bytes(ManifestView::parse(io::as_bytes(bytes)).value(), state->manifests.at(old->second)->view())) {
      return state->entries.at(old->second);
    }
  }
  auto entry = add(*state, key, tree, draft.header().kind, retired, draft.header().terminal_output);
  if (move) {
    for (const auto& path : taken) std::filesystem::remove(path);
  }
  return entry;
}

void FakeStore::retire(uint64_t entry_id) {
  auto state = state_.lock();
  auto& entry = state->entries.at(entry_id);
  entry.retired = true;
  if (auto found = state->visible.find(entry.key); found != state->visible.end() && found->second == entry_id) {
    state->visible.erase(found);
  }
}

void FakeStore::release(uint64_t entry_id) {
  auto state = state_.lock();
  state->entries.erase(entry_id);
  state->manifests.erase(entry_id);
}

void FakeStore::damage_blobs() { state_.lock()->blobs.clear(); }

void FakeStore::break_index(bool broken) { state_.lock()->broken = broken; }

std::vector<Entry> FakeStore::visible() {
  auto state = state_.lock();
  std::vector<Entry> entries;
  for (const auto& [key, id] : state->visible) entries.push_back(state->entries.at(id));
  return entries;
}

Result<Entry> FakeStore::find(const Key& key) {
  auto state = state_.lock();
  if (state->broken) return Error{Code::internal, "the index is broken"};
  auto found = state->visible.find(key);
  if (found == state->visible.end()) return Error{Code::not_found, key.text()};
  return state->entries.at(found->second);
}

Result<Entry> FakeStore::containing(uint64_t number) {
  auto state = state_.lock();
  if (state->broken) return Error{Code::internal, "the index is broken"};
  auto after = state->entries.upper_bound(number);
  if (after == state->entries.begin()) return Error{Code::not_found, "number " + std::to_string(number)};
  const auto& entry = std::prev(after)->second;
  if (number >= entry.id + entry.span) return Error{Code::not_found, "number " + std::to_string(number)};
  return entry;
}

Result<std::vector<Entry>> FakeStore::list(const std::string& scope, const std::string& space, const std::string& after,
                                           size_t limit) {
  auto state = state_.lock();
  if (state->broken) return Error{Code::internal, "the index is broken"};
  std::vector<Entry> entries;
  for (auto it = state->visible.upper_bound(Key{scope, space, after}); it != state->visible.end(); ++it) {
    if (it->first.scope != scope || it->first.space != space || entries.size() == limit) break;
    entries.push_back(state->entries.at(it->second));
  }
  return entries;
}

Result<std::vector<Entry>> FakeStore::retired() {
  auto state = state_.lock();
  if (state->broken) return Error{Code::internal, "the index is broken"};
  std::vector<Entry> entries;
  for (const auto& [id, entry] : state->entries) {
    if (entry.retired) entries.push_back(entry);
  }
  return entries;
}

Result<std::shared_ptr<const MappedManifest>> FakeStore::manifest(uint64_t entry_id) {
  auto state = state_.lock();
  auto found = state->manifests.find(entry_id);
  if (found == state->manifests.end()) return Error{Code::not_found, "manifest " + std::to_string(entry_id)};
  return found->second;
}

Result<size_t> FakeStore::read(const Digest& blob, std::span<std::byte> into, uint64_t offset) {
  auto state = state_.lock();
  auto found = state->blobs.find(blob.hex());
  if (found == state->blobs.end()) return Error{Code::not_found, "blob " + blob.text()};
  const auto& bytes = found->second;
  if (offset >= bytes.size()) return size_t{0};
  size_t size = std::min<size_t>(into.size(), bytes.size() - offset);
  std::memcpy(into.data(), bytes.data() + offset, size);
  return size;
}

Result<StoreReader::Location> FakeStore::locate(const Digest& blob) {
  return Error{Code::not_found, "blob " + blob.text() + " is in memory"};
}

}  // namespace hitfs::testing
