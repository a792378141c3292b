// Manifest files: bytes that are taken are a whole tree that every reader can walk, and that writes itself again. The
// first byte of an input says how the rest is read:
//   0 a manifest as it is (few inputs pass its checksum)   1 with its lengths and checksum made right
//   2 orders to a ManifestBuilder: what it writes is taken, with everything that it was told
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "store/base/io.h"
#include "store/manifest.h"
#include "tests/fuzz/fuzz.h"

namespace hitfs {
namespace {

using fuzz::Input;
using fuzz::promise;
using fuzz::value_of;

// store/README.md, section Manifest.
constexpr size_t kHeaderBytes = 192, kRecordBytes = 64;
constexpr size_t kCountAt = 16, kStringsAt = 20, kChecksumAt = 144;

void repair(std::string& file) {
  if (file.size() < kHeaderBytes) return;
  uint32_t count = 0;
  std::memcpy(&count, file.data() + kCountAt, sizeof(count));
  count %= static_cast<uint32_t>((file.size() - kHeaderBytes) / kRecordBytes) + 1;
  auto strings = static_cast<uint32_t>(file.size() - kHeaderBytes - count * kRecordBytes);
  std::memcpy(file.data() + kCountAt, &count, sizeof(count));
  std::memcpy(file.data() + kStringsAt, &strings, sizeof(strings));
  std::fill_n(file.begin() + kChecksumAt, 32, '\0');
  auto hash = Digest::of(io::as_bytes(file)).hash;
  std::memcpy(file.data() + kChecksumAt, hash.data(), hash.size());
}

bool same(const ManifestRecord& one, const ManifestRecord& other) {
  return one.type == other.type && one.mode == other.mode && one.size == other.size && one.mtime_ns == other.mtime_ns &&
         one.name == other.name && one.child_count == other.child_count && one.content == other.content &&
         one.target == other.target;
}

// Every record is reached from the entry, once, under the name that it has.
void walk(const ManifestView& view) {
  std::vector<bool> seen(view.size());
  uint64_t bytes = 0;
  uint32_t files = 0;
  for (uint32_t position = 0; position < view.size(); ++position) {
    auto record = view.at(position);
    if (position == 0) {
      auto root = view.header().kind == EntryKind::file ? FileType::file : FileType::directory;
      promise(record.type == root, "the entry is of the kind that its header says");
    } else {
      promise(view.child(record.parent, record.name) == position, "a record is found below its directory");
      promise(record.name.find('/') == std::string_view::npos && record.name != "..", "a name is a name");
    }
    promise(record.mode <= 07777, "a mode has permission bits only");
    for (uint32_t child = record.first_child; child - record.first_child < record.child_count; ++child) {
      promise(child < view.size() && !seen[child], "each record is the child of one directory");
      seen[child] = true;
    }
    files += record.type == FileType::file;
    if (record.type == FileType::file) bytes += record.size;
    promise(position == 0 || !view.path(position).empty(), "every record has a path");
  }
  promise(view.total_files() == files && view.total_bytes() == bytes, "the sums are right");
  promise(view.size() == 0 || std::count(seen.begin(), seen.end(), false) == 1, "nothing but the entry has no parent");
}

ManifestBuilder::Node add(ManifestBuilder& builder, ManifestBuilder::Node parent, const ManifestRecord& record) {
  std::string name(record.name);
  switch (record.type) {
    case FileType::directory:
      return value_of(builder.add_directory(parent, name, record.mode, record.mtime_ns), "a directory is written");
    case FileType::file:
      return value_of(builder.add_file(parent, name, record.mode, record.mtime_ns, record.size, record.content),
                      "a file is written");
    case FileType::symlink:
      return value_of(builder.add_symlink(parent, name, std::string(record.target), record.mtime_ns),
                      "a link is written");
  }
  return 0;
}

// A builder that is told everything of `view`.
std::string write_again(const ManifestView& view) {
  ManifestBuilder builder;
  if (view.size() == 0) return builder.finish(view.header());
  std::vector<ManifestBuilder::Node> nodes;
  auto root = view.at(0);
  if (root.type == FileType::file) {
    nodes.push_back(builder.root_file(root.mode, root.mtime_ns, root.size, root.content));
  } else {
    nodes.push_back(builder.root_directory(root.mode, root.mtime_ns));
  }
  for (uint32_t position = 1; position < view.size(); ++position) {
    auto record = view.at(position);
    nodes.push_back(add(builder, nodes[record.parent], record));
  }
  return builder.finish(view.header());
}

std::map<std::string, uint32_t> positions(const ManifestView& view) {
  std::map<std::string, uint32_t> paths;
  for (uint32_t position = 0; position < view.size(); ++position) paths[view.path(position)] = position;
  return paths;
}

void expect_same(const ManifestView& one, const ManifestView& other) {
  auto left = positions(one);
  auto right = positions(other);
  promise(left.size() == right.size() && left.size() == one.size(), "as many paths as records");
  for (const auto& [path, position] : left) {
    auto found = right.find(path);
    promise(found != right.end(), "a path is written again", path);
    auto mine = one.at(position);
    // Of a link that the builder was not told a mode for.
    if (mine.type == FileType::symlink) mine.mode = 0777;
    promise(same(mine, other.at(found->second)), "a record is written again", path);
  }
  auto mine = one.header();
  auto its = other.header();
  promise(mine.key == its.key && mine.kind == its.kind && mine.exit_code == its.exit_code &&
              mine.artifact == its.artifact && mine.terminal_output == its.terminal_output,
          "the header is written again");
}

void expect_finished(const ManifestView& draft) {
  std::vector<Digest> contents(draft.size(), Digest::of(io::as_bytes("content")));
  auto file = value_of(finish_draft(draft, draft.header(), contents), "a draft can be finished");
  auto view = value_of(ManifestView::parse(io::as_bytes(file)), "a finished draft is taken");
  promise(!view.is_draft() && view.size() == draft.size(), "a finished draft is none, and of the same size");
  for (uint32_t position = 0; position < view.size(); ++position) {
    promise(view.path(position) == draft.path(position), "a finished draft has the same positions");
    auto record = view.at(position);
    if (record.type == FileType::file)
      promise(record.content == Content{contents[position]}, "with the contents given");
  }
}

void check(const ManifestView& view) {
  walk(view);
  if (view.is_draft()) return expect_finished(view);
  auto again = write_again(view);
  auto parsed = value_of(ManifestView::parse(io::as_bytes(again)), "what was written is taken");
  expect_same(view, parsed);
  promise(write_again(parsed) == again, "one tree has one manifest");
}

// Orders of a name and an attribute or two each; what the builder refuses is left out.
std::string build(Input& orders) {
  ManifestBuilder builder;
  bool staged = orders.number<uint8_t>() % 2 == 1;
  auto content = [&]() -> Content {
    uint64_t number = orders.number<uint16_t>();
    if (staged) return StagedNumber{number};
    return Digest::of(std::as_bytes(std::span(&number, 1)));
  };
  ManifestHeader header;
  header.key = {"", "flat", "1f3a"};
  uint32_t nodes = 1;
  if (orders.number<uint8_t>() % 8 == 0) {
    header.kind = EntryKind::file;
    builder.root_file(0644, orders.number<int64_t>(), 7, content());
    return builder.finish(header);
  }
  builder.root_directory(0755, orders.number<int64_t>());
  while (!orders.empty()) {
    auto kind = orders.number<uint8_t>();
    auto parent = orders.number<uint8_t>() % nodes;
    std::string name(orders.text(kind >> 4));
    if (kind % 4 == 0) nodes += builder.add_directory(parent, name, 0700, orders.number<uint32_t>()).has_value();
    if (kind % 4 == 1) nodes += builder.add_symlink(parent, name, std::string(orders.line()), 1).has_value();
    if (kind % 4 >= 2)
      nodes += builder.add_file(parent, name, 0444, -1, orders.number<uint8_t>(), content()).has_value();
  }
  promise(builder.size() == nodes, "the builder counts what it took");
  return builder.finish(header);
}

}  // namespace
}  // namespace hitfs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hitfs;
  fuzz::Input input(data, size);
  auto how = input.number<uint8_t>() % 3;
  std::string file = how == 2 ? build(input) : std::string(input.all());
  if (how == 1) repair(file);
  auto view = ManifestView::parse(io::as_bytes(file));
  fuzz::promise(view.has_value() || how != 2, "what a builder writes is taken");
  if (!view) {
    fuzz::promise(view.error().code == Code::corrupt, "damage is called damage", view.error().message);
    return 0;
  }
  check(*view);
  return 0;
}
