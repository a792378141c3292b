#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "store/base/result.h"
#include "store/digest.h"
#include "store/key.h"

// The tree of an entry as one mappable file of fixed-size records; the format is in store/README.md, section Manifest.
//
// Position 0 is the entry itself (a file or a directory). Records stand breadth-first with the children of a directory
// side by side, sorted by their bytes: this canonical order depends on names alone, so inode number = first number of
// the entry + position holds for every machine that knows the tree, and a lookup is a binary search.
namespace hitfs {

enum class FileType : uint8_t { directory = 1, file = 2, symlink = 3 };

enum class EntryKind : uint8_t {
  file = 1,       // a tree that is one file
  directory = 2,  // a tree
  artifact = 3,   // exact bytes of a wire form, checked by the codec of its namespace
  opaque = 4,     // exact bytes of a format that we do not know: served, never projected into a directory
};

// Where a file's bytes are: a blob, or (in a draft, before the commit) a file of the staging folder.
struct StagedNumber {
  uint64_t number;
  bool operator==(const StagedNumber&) const = default;
};
using Content = std::variant<Digest, StagedNumber>;

struct ManifestRecord {
  FileType type;
  uint16_t mode;          // permission bits, 07777
  uint64_t size;          // bytes of a file; length of a link target; 0 for a directory
  int64_t mtime_ns;       // of the source, since 1970
  std::string_view name;  // "" for position 0
  uint32_t parent;
  uint32_t first_child;  // of a directory
  uint32_t child_count;
  Content content;          // of a file
  std::string_view target;  // of a symlink
};

// What is known of an entry besides its tree.
struct ManifestHeader {
  uint64_t entry_id = 0;  // first inode number; 0 in a draft
  Key key;
  EntryKind kind = EntryKind::directory;
  int32_t exit_code = 0;
  int64_t duration_ms = 0;
  int64_t created_ns = 0;
  std::optional<Digest> artifact;         // the wire form, where it is the primary form
  std::optional<Digest> terminal_output;  // a blob
};

// A checked, read-only view. It does not own the bytes: keep the mapping (MappedManifest) or string alive. All record
// access is bounds-checked by parse(), so a view of damaged bytes never exists. Safe from several threads.
class ManifestView {
 public:
  // `corrupt` for anything that is not exactly one manifest of this version, checksum included.
  static Result<ManifestView> parse(std::span<const std::byte> bytes);

  [[nodiscard]] ManifestHeader header() const;
  [[nodiscard]] bool is_draft() const { return draft_; }
  // Records; 0 for an entry that is an artifact.
  [[nodiscard]] uint32_t size() const { return count_; }
  [[nodiscard]] ManifestRecord at(uint32_t position) const;
  // The position of `name` below the directory at `position`.
  [[nodiscard]] std::optional<uint32_t> child(uint32_t position, std::string_view name) const;
  // The path of a record below the entry, "" for position 0.
  [[nodiscard]] std::string path(uint32_t position) const;
  // Sum of the sizes of all files, and their number.
  [[nodiscard]] uint64_t total_bytes() const;
  [[nodiscard]] uint32_t total_files() const;
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
  uint32_t count_ = 0;
  bool draft_ = false;
};

// The final manifest of a draft: the same tree in the same positions, with digests in the place of staging numbers and
// the sizes that they say. `contents[position]` is read for files only; header.key must be the draft's.
Result<std::string> finish_draft(const ManifestView& draft, const ManifestHeader& header,
                                 std::span<const Digest> contents);

// A manifest file, mapped; shared by whoever reads it. The mapping lives as long as the object.
class MappedManifest {
 public:
  static Result<std::shared_ptr<const MappedManifest>> open(const std::string& path);
  ~MappedManifest();
  MappedManifest(const MappedManifest&) = delete;
  MappedManifest& operator=(const MappedManifest&) = delete;

  [[nodiscard]] const ManifestView& view() const { return view_; }

 private:
  MappedManifest(void* address, size_t size) : address_(address), size_(size) {}
  void* address_;
  size_t size_;
  ManifestView view_;
};

// Collects a tree in any order and writes it canonically. One owner, not thread-safe.
class ManifestBuilder {
 public:
  using Node = uint32_t;

  // Starts with the entry itself, node 0.
  Node root_directory(uint16_t mode, int64_t mtime_ns);
  Node root_file(uint16_t mode, int64_t mtime_ns, uint64_t size, Content content);

  // `invalid_argument` for a name that is empty, ".", "..", holds '/' or NUL or is longer than 255 bytes, for a parent
  // that is no directory, and for a name that is already there.
  Result<Node> add_directory(Node parent, std::string name, uint16_t mode, int64_t mtime_ns);
  Result<Node> add_file(Node parent, std::string name, uint16_t mode, int64_t mtime_ns, uint64_t size, Content content);
  Result<Node> add_symlink(Node parent, std::string name, std::string target, int64_t mtime_ns);

  // The node of `name` below `parent`, if it was added.
  [[nodiscard]] std::optional<Node> find(Node parent, const std::string& name) const;
  void set_attributes(Node node, uint16_t mode, int64_t mtime_ns);
  void set_content(Node file, uint64_t size, Content content);
  [[nodiscard]] FileType type_of(Node node) const { return nodes_[node].type; }
  [[nodiscard]] size_t size() const { return nodes_.size(); }

  // The whole file. A draft when any content is a StagedNumber. `position_of`, when given, receives each node's
  // position.
  [[nodiscard]] std::string finish(const ManifestHeader& header, std::vector<uint32_t>* position_of = nullptr) const;

 private:
  struct NodeData {
    FileType type;
    uint16_t mode;
    int64_t mtime_ns;
    uint64_t size;
    std::string name;
    Content content;
    std::string target;
    Node parent;
  };
  Result<Node> add(Node parent, NodeData data);

  std::vector<NodeData> nodes_;
  // (parent, name) -> node, for duplicates and find().
  struct ChildKey {
    Node parent;
    std::string name;
    bool operator==(const ChildKey&) const = default;
  };
  struct ChildKeyHash {
    size_t operator()(const ChildKey& key) const { return std::hash<std::string>{}(key.name) * 1000003u ^ key.parent; }
  };
  std::unordered_map<ChildKey, Node, ChildKeyHash> children_;
};

}  // namespace hitfs
