#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "store/archive/guard.h"
#include "store/base/result.h"
#include "store/codecs/codec.h"
#include "store/manifest.h"

namespace hitfs {

// A file or directory on disk as a draft tree: `hitfs put` packs it. Contents stay on disk and are read when asked for;
// a file that is not the one that was seen any more (inode, size, times) is `unavailable`, never half old and half new.
// Use from one thread.
class ImportedTree : public ContentSource {
 public:
  // Reads names and attributes below `path`, without following links (`path` itself may be one). `invalid_argument`
  // names what cannot be an entry: sockets, pipes and devices, links that leave the tree, names and sizes beyond the
  // guard's limits. setuid, setgid and sticky bits are left out. The tree must not be changed meanwhile.
  static Result<std::unique_ptr<ImportedTree>> read(const std::filesystem::path& path, const GuardLimits& limits = {});

  // Its contents are StagedNumbers that open() knows.
  [[nodiscard]] const ManifestBuilder& tree() const { return tree_; }
  [[nodiscard]] EntryKind kind() const { return kind_; }
  [[nodiscard]] uint64_t total_bytes() const { return total_bytes_; }
  [[nodiscard]] uint64_t total_files() const { return files_.size(); }

  Result<std::unique_ptr<ByteSource>> open(const Content& content) override;

 private:
  ImportedTree() = default;

  // What a file looked like when it was seen.
  struct SeenFile {
    std::filesystem::path path;
    uint64_t device, inode, size;
    int64_t mtime_ns, ctime_ns;
  };
  struct Reader;

  ManifestBuilder tree_;
  EntryKind kind_ = EntryKind::directory;
  uint64_t total_bytes_ = 0;
  std::vector<SeenFile> files_;
};

}  // namespace hitfs
