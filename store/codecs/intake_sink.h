#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/codecs/codec.h"
#include "store/entry_store.h"
#include "store/manifest.h"

namespace hitfs {

// Unpacks an artifact into the store: contents go into an intake's blobs as they come, the tree into a builder. After
// Codec::unpack() returned without an error, commit the tree; else drop both. One owner, not thread-safe.
class IntakeSink : public TreeSink {
 public:
  // `intake` must outlive the sink.
  explicit IntakeSink(EntryIntake& intake);

  Status root(bool is_file, uint16_t mode, int64_t mtime_ns) override;
  Status directory(std::string_view path, uint16_t mode, int64_t mtime_ns) override;
  Status symlink(std::string_view path, std::string_view target, int64_t mtime_ns) override;
  Result<ByteSink*> begin_file(std::string_view path, uint16_t mode, int64_t mtime_ns,
                               std::optional<uint64_t> size) override;
  Status end_file() override;

  [[nodiscard]] const ManifestBuilder& tree() const { return tree_; }
  // directory or file, for the manifest's header.
  [[nodiscard]] EntryKind kind() const { return is_file_ ? EntryKind::file : EntryKind::directory; }

 private:
  Result<ManifestBuilder::Node> directory_node(std::string_view path);

  struct OpenFile {
    std::string path;
    uint16_t mode;
    int64_t mtime_ns;
  };

  EntryIntake& intake_;
  ManifestBuilder tree_;
  bool is_file_ = false;
  std::optional<OpenFile> open_;
  std::string last_directory_;  // members of one directory come together: spares the walk from the root
  ManifestBuilder::Node last_node_ = 0;
};

}  // namespace hitfs
