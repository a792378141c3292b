#include "store/manifest.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "store/base/io.h"
#include "store/base/unique_fd.h"

namespace hitfs {

namespace {

static_assert(std::endian::native == std::endian::little, "manifests are little-endian and mapped");

constexpr std::string_view kMagic = "hitfsmf1";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kDraftFlag = 1;
constexpr uint16_t kModeBits = 07777;
// What Linux accepts for a link target.
constexpr size_t kLongestTarget = 4095;

// The header as it lies in the file; store/README.md has the same table.
struct FileHeader {
  char magic[8];
  uint32_t version;
  uint32_t flags;
  uint32_t record_count;
  uint32_t string_bytes;
  uint64_t entry_id;
  uint8_t kind;
  uint8_t reserved[3];
  int32_t exit_code;
  int64_t duration_ms;
  int64_t created_ns;
  std::byte artifact_hash[32];
  uint64_t artifact_size;
  std::byte terminal_hash[32];
  uint64_t terminal_size;
  uint16_t scope_length;  // scope, namespace and name are the first bytes of the string area
  uint16_t space_length;
  uint16_t name_length;
  uint8_t has_artifact;
  uint8_t has_terminal;
  std::byte checksum[32];  // SHA-256 of the whole file with these bytes zero
  std::byte padding[16];
};
static_assert(sizeof(FileHeader) == 192);

struct FileRecord {
  uint32_t name_offset;  // into the string area
  uint8_t name_length;
  uint8_t type;
  uint16_t mode;
  uint32_t parent;
  uint32_t reserved;
  uint64_t size;
  int64_t mtime_ns;
  // file: hash, or the staging number in the first eight bytes; directory: first child, count; symlink: target offset
  std::byte payload[32];
};
static_assert(sizeof(FileRecord) == 64);

template <typename T>
T load(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <typename T>
T from_payload(const FileRecord& record, size_t offset) {
  T value;
  std::memcpy(&value, record.payload + offset, sizeof(T));
  return value;
}

FileRecord record_at(std::span<const std::byte> bytes, uint32_t position) {
  return load<FileRecord>(bytes, sizeof(FileHeader) + size_t{position} * sizeof(FileRecord));
}

std::string_view string_at(std::span<const std::byte> bytes, uint32_t count, size_t offset, size_t length) {
  size_t start = sizeof(FileHeader) + size_t{count} * sizeof(FileRecord);
  return io::as_text(bytes.subspan(start + offset, length));
}

std::array<std::byte, 32> checksum_of(std::span<const std::byte> bytes) {
  auto header = load<FileHeader>(bytes, 0);
  std::fill(std::begin(header.checksum), std::end(header.checksum), std::byte{0});
  Hasher hasher;
  hasher.update(std::as_bytes(std::span(&header, 1)));
  hasher.update(bytes.subspan(sizeof(FileHeader)));
  return hasher.finish().hash;
}

Error damaged(std::string_view what) { return {Code::corrupt, "manifest: " + std::string(what)}; }

bool is_member_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

bool is_link_target(std::string_view target) {
  return !target.empty() && target.size() <= kLongestTarget && target.find('\0') == std::string_view::npos;
}

bool name_lies_inside(const FileHeader& header, const FileRecord& record) {
  return record.name_offset <= header.string_bytes && header.string_bytes - record.name_offset >= record.name_length;
}

// The children of a directory: one run of records inside of the file that name it as their parent, in order.
Status check_children(std::span<const std::byte> bytes, const FileHeader& header, uint32_t position) {
  auto directory = record_at(bytes, position);
  auto first = from_payload<uint32_t>(directory, 0);
  auto count = from_payload<uint32_t>(directory, 4);
  if (directory.size != 0) return damaged("a directory with a size");
  if (count == 0) return Ok{};
  if (first <= position || first > header.record_count || header.record_count - first < count) {
    return damaged("children outside of the file");
  }
  std::string_view before;
  for (uint32_t child = first; child < first + count; ++child) {
    auto record = record_at(bytes, child);
    if (record.parent != position) return damaged("child of another directory");
    if (!name_lies_inside(header, record)) return damaged("name outside of the file");
    auto name = string_at(bytes, header.record_count, record.name_offset, record.name_length);
    if (name <= before) return damaged("names out of order");
    before = name;
  }
  return Ok{};
}

// A record other than the first stands in the run of children of an earlier directory.
Status check_parent(std::span<const std::byte> bytes, uint32_t position, const FileRecord& record) {
  if (record.parent >= position) return damaged("a record before its directory");
  auto parent = record_at(bytes, record.parent);
  if (static_cast<FileType>(parent.type) != FileType::directory) return damaged("parent is no directory");
  auto first = from_payload<uint32_t>(parent, 0);
  if (position < first || position - first >= from_payload<uint32_t>(parent, 4)) return damaged("stray record");
  return Ok{};
}

Status check_target(std::span<const std::byte> bytes, const FileHeader& header, const FileRecord& record) {
  auto offset = from_payload<uint32_t>(record, 0);
  bool inside = offset <= header.string_bytes && header.string_bytes - offset >= record.size;
  if (!inside || !is_link_target(string_at(bytes, header.record_count, offset, record.size))) {
    return damaged("bad link target");
  }
  return Ok{};
}

// The entry itself: of the kind that the header says, without a name.
Status check_root(const FileHeader& header, const FileRecord& record, std::string_view name) {
  bool is_file = header.kind == static_cast<uint8_t>(EntryKind::file);
  auto type = is_file ? FileType::file : FileType::directory;
  if (static_cast<FileType>(record.type) != type) return damaged("the entry is of another kind");
  if (!name.empty()) return damaged("bad name");
  return Ok{};
}

// Checks one record against the rules that at() and child() rely on.
Status check_record(std::span<const std::byte> bytes, const FileHeader& header, uint32_t position) {
  auto record = record_at(bytes, position);
  if (!name_lies_inside(header, record)) return damaged("name outside of the file");
  auto name = string_at(bytes, header.record_count, record.name_offset, record.name_length);
  if ((record.mode & ~kModeBits) != 0) return damaged("bad mode");
  if (position != 0 && !is_member_name(name)) return damaged("bad name");
  auto placed = position == 0 ? check_root(header, record, name) : check_parent(bytes, position, record);
  if (!placed) return placed;
  switch (static_cast<FileType>(record.type)) {
    case FileType::file: return Ok{};
    case FileType::directory: return check_children(bytes, header, position);
    case FileType::symlink: return check_target(bytes, header, record);
  }
  return damaged("unknown record type");
}

}  // namespace

Result<ManifestView> ManifestView::parse(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(FileHeader)) return damaged("shorter than a header");
  auto header = load<FileHeader>(bytes, 0);
  if (std::string_view(header.magic, sizeof(header.magic)) != kMagic) return damaged("not a manifest");
  if (header.version != kVersion) {
    return damaged("version " + std::to_string(header.version) + " is not known; use the hitfs that wrote it");
  }
  uint64_t expected = sizeof(FileHeader) + uint64_t{header.record_count} * sizeof(FileRecord) + header.string_bytes;
  if (bytes.size() != expected) return damaged("wrong length");
  if (uint64_t{header.scope_length} + header.space_length + header.name_length > header.string_bytes) {
    return damaged("key outside of the file");
  }
  if (header.kind < 1 || header.kind > 4) return damaged("unknown kind");
  auto expected_checksum = checksum_of(bytes);
  if (!std::equal(expected_checksum.begin(), expected_checksum.end(), std::begin(header.checksum))) {
    return damaged("checksum does not match");
  }
  bool has_tree = header.kind <= static_cast<uint8_t>(EntryKind::directory);
  if (has_tree != (header.record_count > 0)) return damaged("record count does not fit the kind");
  for (uint32_t position = 0; position < header.record_count; ++position) {
    if (auto checked = check_record(bytes, header, position); !checked) return std::move(checked).error();
  }
  ManifestView view;
  view.bytes_ = bytes;
  view.count_ = header.record_count;
  view.draft_ = (header.flags & kDraftFlag) != 0;
  return view;
}

ManifestHeader ManifestView::header() const {
  auto file = load<FileHeader>(bytes_, 0);
  ManifestHeader header;
  header.entry_id = file.entry_id;
  header.kind = static_cast<EntryKind>(file.kind);
  header.exit_code = file.exit_code;
  header.duration_ms = file.duration_ms;
  header.created_ns = file.created_ns;
  header.key.scope = string_at(bytes_, count_, 0, file.scope_length);
  header.key.space = string_at(bytes_, count_, file.scope_length, file.space_length);
  header.key.name = string_at(bytes_, count_, size_t{file.scope_length} + file.space_length, file.name_length);
  if (file.has_artifact) header.artifact = Digest{std::to_array(file.artifact_hash), file.artifact_size};
  if (file.has_terminal) header.terminal_output = Digest{std::to_array(file.terminal_hash), file.terminal_size};
  return header;
}

ManifestRecord ManifestView::at(uint32_t position) const {
  auto file = record_at(bytes_, position);
  ManifestRecord record{};
  record.type = static_cast<FileType>(file.type);
  record.mode = file.mode;
  record.size = file.size;
  record.mtime_ns = file.mtime_ns;
  record.name = string_at(bytes_, count_, file.name_offset, file.name_length);
  record.parent = file.parent;
  switch (record.type) {
    case FileType::directory:
      record.first_child = from_payload<uint32_t>(file, 0);
      record.child_count = from_payload<uint32_t>(file, 4);
      break;
    case FileType::symlink:
      record.target = string_at(bytes_, count_, from_payload<uint32_t>(file, 0), file.size);
      break;
    case FileType::file:
      if (draft_) {
        record.content = StagedNumber{from_payload<uint64_t>(file, 0)};
      } else {
        record.content = Digest{from_payload<std::array<std::byte, 32>>(file, 0), file.size};
      }
      break;
  }
  return record;
}

std::optional<uint32_t> ManifestView::child(uint32_t position, std::string_view name) const {
  auto directory = at(position);
  if (directory.type != FileType::directory) return std::nullopt;
  uint32_t low = directory.first_child;
  uint32_t high = low + directory.child_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    auto order = at(middle).name.compare(name);
    if (order == 0) return middle;
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return std::nullopt;
}

std::string ManifestView::path(uint32_t position) const {
  std::string path;
  while (position != 0) {
    auto record = at(position);
    path = path.empty() ? std::string(record.name) : std::string(record.name) + "/" + path;
    position = record.parent;
  }
  return path;
}

uint64_t ManifestView::total_bytes() const {
  uint64_t total = 0;
  for (uint32_t position = 0; position < count_; ++position) {
    if (auto record = at(position); record.type == FileType::file) total += record.size;
  }
  return total;
}

uint32_t ManifestView::total_files() const {
  uint32_t total = 0;
  for (uint32_t position = 0; position < count_; ++position) total += at(position).type == FileType::file;
  return total;
}

Result<std::shared_ptr<const MappedManifest>> MappedManifest::open(const std::string& path) {
  auto fd = io::open_read(path);
  if (!fd) return std::move(fd).error();
  struct stat info {};
  if (::fstat(fd->get(), &info) < 0) return system_error("stat " + path, errno);
  if (info.st_size == 0) return damaged(path + " is empty");
  auto size = static_cast<size_t>(info.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd->get(), 0);
  if (address == MAP_FAILED) return system_error("map " + path, errno);
  std::shared_ptr<MappedManifest> mapped(new MappedManifest(address, size));
  auto view = ManifestView::parse({static_cast<const std::byte*>(address), size});
  if (!view) return in_context(path, std::move(view).error());
  mapped->view_ = *view;
  return std::shared_ptr<const MappedManifest>(std::move(mapped));
}

MappedManifest::~MappedManifest() { ::munmap(address_, size_); }

ManifestBuilder::Node ManifestBuilder::root_directory(uint16_t mode, int64_t mtime_ns) {
  nodes_.assign(1, {FileType::directory, mode, mtime_ns, 0, "", Digest{}, "", 0});
  return 0;
}

ManifestBuilder::Node ManifestBuilder::root_file(uint16_t mode, int64_t mtime_ns, uint64_t size, Content content) {
  nodes_.assign(1, {FileType::file, mode, mtime_ns, size, "", content, "", 0});
  return 0;
}

Result<ManifestBuilder::Node> ManifestBuilder::add(Node parent, NodeData data) {
  if (!is_member_name(data.name)) return Error{Code::invalid_argument, "bad member name"};
  if (parent >= nodes_.size() || nodes_[parent].type != FileType::directory) {
    return Error{Code::invalid_argument, "the parent of " + percent_encode(data.name) + " is no directory"};
  }
  auto node = static_cast<Node>(nodes_.size());
  if (!children_.emplace(ChildKey{parent, data.name}, node).second) {
    return Error{Code::invalid_argument, percent_encode(data.name) + " is there twice"};
  }
  data.parent = parent;
  nodes_.push_back(std::move(data));
  return node;
}

Result<ManifestBuilder::Node> ManifestBuilder::add_directory(Node parent, std::string name, uint16_t mode,
                                                             int64_t mtime_ns) {
  return add(parent, {FileType::directory, mode, mtime_ns, 0, std::move(name), Digest{}, "", 0});
}

Result<ManifestBuilder::Node> ManifestBuilder::add_file(Node parent, std::string name, uint16_t mode, int64_t mtime_ns,
                                                        uint64_t size, Content content) {
  return add(parent, {FileType::file, mode, mtime_ns, size, std::move(name), content, "", 0});
}

Result<ManifestBuilder::Node> ManifestBuilder::add_symlink(Node parent, std::string name, std::string target,
                                                           int64_t mtime_ns) {
  if (!is_link_target(target)) {
    return Error{Code::invalid_argument, "a link target has 1 to 4095 bytes and no NUL"};
  }
  uint64_t size = target.size();
  return add(parent, {FileType::symlink, 0777, mtime_ns, size, std::move(name), Digest{}, std::move(target), 0});
}

std::optional<ManifestBuilder::Node> ManifestBuilder::find(Node parent, const std::string& name) const {
  auto found = children_.find(ChildKey{parent, name});
  if (found == children_.end()) return std::nullopt;
  return found->second;
}

void ManifestBuilder::set_attributes(Node node, uint16_t mode, int64_t mtime_ns) {
  nodes_[node].mode = mode;
  nodes_[node].mtime_ns = mtime_ns;
}

void ManifestBuilder::set_content(Node file, uint64_t size, Content content) {
  nodes_[file].size = size;
  nodes_[file].content = content;
}

namespace {

FileHeader header_for(const ManifestHeader& header, size_t records, size_t string_bytes, bool draft) {
  FileHeader file{};
  std::memcpy(file.magic, kMagic.data(), sizeof(file.magic));
  file.version = kVersion;
  file.flags = draft ? kDraftFlag : 0;
  file.record_count = static_cast<uint32_t>(records);
  file.string_bytes = static_cast<uint32_t>(string_bytes);
  file.entry_id = header.entry_id;
  file.kind = static_cast<uint8_t>(header.kind);
  file.exit_code = header.exit_code;
  file.duration_ms = header.duration_ms;
  file.created_ns = header.created_ns;
  if (header.artifact) {
    file.has_artifact = 1;
    std::copy(header.artifact->hash.begin(), header.artifact->hash.end(), file.artifact_hash);
    file.artifact_size = header.artifact->size;
  }
  if (header.terminal_output) {
    file.has_terminal = 1;
    std::copy(header.terminal_output->hash.begin(), header.terminal_output->hash.end(), file.terminal_hash);
    file.terminal_size = header.terminal_output->size;
  }
  file.scope_length = static_cast<uint16_t>(header.key.scope.size());
  file.space_length = static_cast<uint16_t>(header.key.space.size());
  file.name_length = static_cast<uint16_t>(header.key.name.size());
  return file;
}

template <typename T>
void to_payload(FileRecord& record, size_t offset, const T& value) {
  std::memcpy(record.payload + offset, &value, sizeof(T));
}

template <typename T>
void append_raw(std::string& into, const T& value) {
  into.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

}  // namespace

std::string ManifestBuilder::finish(const ManifestHeader& header, std::vector<uint32_t>* position_of) const {
  // Children per node, sorted by bytes; then breadth-first gives every directory one run of children.
  std::vector<std::vector<Node>> children(nodes_.size());
  for (Node node = 1; node < nodes_.size(); ++node) children[nodes_[node].parent].push_back(node);
  std::vector<Node> order;
  std::vector<uint32_t> position(nodes_.size(), 0);
  order.reserve(nodes_.size());
  if (!nodes_.empty()) order.push_back(0);
  for (size_t i = 0; i < order.size(); ++i) {
    auto& below = children[order[i]];
    std::sort(below.begin(), below.end(), [&](Node a, Node b) { return nodes_[a].name < nodes_[b].name; });
    for (Node child : below) {
      position[child] = static_cast<uint32_t>(order.size());
      order.push_back(child);
    }
  }

  bool draft = false;
  std::string records;
  std::string strings = header.key.scope + header.key.space + header.key.name;
  records.reserve(order.size() * sizeof(FileRecord));
  for (Node node : order) {
    const auto& data = nodes_[node];
    FileRecord record{};
    record.name_offset = static_cast<uint32_t>(strings.size());
    record.name_length = static_cast<uint8_t>(data.name.size());
    strings += data.name;
    record.type = static_cast<uint8_t>(data.type);
    record.mode = data.mode & kModeBits;
    record.parent = position[data.parent];
    record.size = data.size;
    record.mtime_ns = data.mtime_ns;
    if (data.type == FileType::directory) {
      uint32_t first = children[node].empty() ? 0 : position[children[node].front()];
      to_payload(record, 0, first);
      to_payload(record, 4, static_cast<uint32_t>(children[node].size()));
    } else if (data.type == FileType::symlink) {
      to_payload(record, 0, static_cast<uint32_t>(strings.size()));
      strings += data.target;
    } else if (const auto* staged = std::get_if<StagedNumber>(&data.content)) {
      draft = true;
      to_payload(record, 0, staged->number);
    } else {
      to_payload(record, 0, std::get<Digest>(data.content).hash);
    }
    append_raw(records, record);
  }

  if (position_of) *position_of = position;
  std::string file;
  append_raw(file, header_for(header, order.size(), strings.size(), draft));
  file += records;
  file += strings;
  auto checksum = checksum_of(io::as_bytes(file));
  std::memcpy(file.data() + offsetof(FileHeader, checksum), checksum.data(), checksum.size());
  return file;
}

Result<std::string> finish_draft(const ManifestView& draft, const ManifestHeader& header,
                                 std::span<const Digest> contents) {
  if (header.key != draft.header().key) return Error{Code::invalid_argument, "the draft is of another key"};
  if (contents.size() != draft.size()) return Error{Code::invalid_argument, "a draft needs a digest per position"};
  std::string file(io::as_text(draft.bytes()));
  auto count = draft.size();
  auto string_bytes = file.size() - sizeof(FileHeader) - size_t{count} * sizeof(FileRecord);
  auto file_header = header_for(header, count, string_bytes, false);
  std::memcpy(file.data(), &file_header, sizeof(file_header));
  for (uint32_t position = 0; position < count; ++position) {
    auto record = record_at(draft.bytes(), position);
    if (static_cast<FileType>(record.type) != FileType::file) continue;
    record.size = contents[position].size;
    to_payload(record, 0, contents[position].hash);
    std::memcpy(file.data() + sizeof(FileHeader) + size_t{position} * sizeof(FileRecord), &record, sizeof(record));
  }
  auto checksum = checksum_of(io::as_bytes(file));
  std::memcpy(file.data() + offsetof(FileHeader, checksum), checksum.data(), checksum.size());
  return file;
}

}  // namespace hitfs
