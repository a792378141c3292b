#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/digest.h"

namespace hitfs {

// Blobs below this size lie in packs, larger ones in files of their own.
constexpr uint64_t kPackedBelow = 64 << 10;

// Writes the small blobs of one intake one after the other into one file: their bytes, then a table of what lies where
// (format in store/README.md, section Pack), so that an index that was lost can be made again. Never synced here. One
// owner, not thread-safe.
class PackWriter {
 public:
  // The file is made at the first append().
  explicit PackWriter(std::filesystem::path path) : path_(std::move(path)) {}

  // Where the bytes begin in the file.
  Result<uint64_t> append(const Digest& digest, std::span<const std::byte> bytes);
  // Writes what is left, and the table. Nothing may be appended afterwards.
  Status finish();

  [[nodiscard]] bool empty() const { return table_.empty(); }
  // Of the finished file.
  [[nodiscard]] uint64_t size() const { return written_ + buffer_.size(); }
  [[nodiscard]] int fd() const { return file_.get(); }

 private:
  Status flush_buffer();

  std::filesystem::path path_;
  UniqueFd file_;
  std::string buffer_;
  uint64_t written_ = 0;
  struct Line {
    Digest digest;
    uint64_t offset;
  };
  std::vector<Line> table_;
};

// What a finished pack holds, read from its table; `corrupt` when it has none that is sound.
struct PackedBlob {
  Digest digest;
  uint64_t offset = 0;
};
Result<std::vector<PackedBlob>> read_pack_table(const std::filesystem::path& path);

}  // namespace hitfs
