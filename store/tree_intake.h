#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "store/codecs/codec.h"
#include "store/entry_store.h"
#include "store/manifest.h"

namespace hitfs {

// Turns the members of an artifact into blobs of an intake and a manifest: what a codec unpacks into. One owner, not
// thread-safe; the intake outlives it.
class TreeIntake final : public TreeSink {
 public:
  explicit TreeIntake(EntryIntake& intake);

  Status root(bool is_file, uint16_t mode, int64_t mtime_ns) override;
  Status directory(std::string_view path, uint16_t mode, int64_t mtime_ns) override;
  Status symlink(std::string_view path, std::string_view target, int64_t mtime_ns) override;
  Result<ByteSink*> file(std::string_view path, uint16_t mode, int64_t mtime_ns, uint64_t size) override;

  // After the last member: the tree, complete with digests. Not to be used further.
  Result<ManifestBuilder> finish();
  [[nodiscard]] bool is_file() const { return is_file_; }

 private:
  Result<ManifestBuilder::Node> directory_node(std::string_view path);
  Status end_file();

  EntryIntake& intake_;
  ManifestBuilder tree_;
  bool is_file_ = false;
  uint16_t root_mode_ = 0755;
  int64_t root_mtime_ns_ = 0;
  std::unordered_map<std::string, ManifestBuilder::Node>
      directories_;                                 // by path, so that a deep tree costs one look-up
  std::optional<ManifestBuilder::Node> open_file_;  // whose bytes are coming in
};

}  // namespace hitfs
