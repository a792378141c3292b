#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/codecs/codec.h"
#include "store/manifest.h"

namespace hitfs {

// Writes a tree to disk beside the place where it is wanted and moves it there in one step: `hitfs get`. Whoever looks
// sees the old thing, nothing, or the whole new one. Modes and times are those of the tree (the umask does not count),
// the owner is whoever runs this. Dropped before commit() it leaves nothing. One owner, not thread-safe.
class TreeExporter : public TreeSink {
 public:
  enum class Existing {
    refuse,   // what is there stays: `invalid_argument`
    replace,  // it is swapped out and then removed, whatever it is
  };
  // The folder of `target` must exist.
  static Result<std::unique_ptr<TreeExporter>> open(const std::filesystem::path& target, Existing existing);
  ~TreeExporter() override;
  TreeExporter(const TreeExporter&) = delete;
  TreeExporter& operator=(const TreeExporter&) = delete;

  Status root(bool is_file, uint16_t mode, int64_t mtime_ns) override;
  Status directory(std::string_view path, uint16_t mode, int64_t mtime_ns) override;
  Status symlink(std::string_view path, std::string_view target, int64_t mtime_ns) override;
  Result<ByteSink*> begin_file(std::string_view path, uint16_t mode, int64_t mtime_ns,
                               std::optional<uint64_t> size) override;
  Status end_file() override;

  // Sets the attributes of the directories and moves the tree into place. Not durable: a power cut may take it.
  Status commit();

 private:
  TreeExporter(std::filesystem::path target, std::filesystem::path aside, Existing existing);
  [[nodiscard]] std::filesystem::path place_of(std::string_view path) const;
  Status make_directory(std::string_view path);
  Status make_parent(std::string_view path);
  Status settle_directories();
  Status move_into_place();
  Status move_in_two_steps();

  struct Attributes {
    std::string path;
    uint16_t mode;
    int64_t mtime_ns;
  };
  class FileSink;

  std::filesystem::path target_;
  // Where the tree is built: a name of our own in the same folder, because a directory that is not writable can be
  // renamed within its folder only.
  std::filesystem::path aside_;
  Existing existing_;
  bool is_file_ = false;
  std::vector<Attributes> directories_;
  std::unordered_set<std::string> made_;  // directories that are there
  std::unique_ptr<FileSink> file_;
};

// Gives every member of a committed tree to `into`, root first, contents checked against their digests.
Status export_tree(const ManifestView& tree, ContentSource& contents, TreeSink& into);

}  // namespace hitfs
