#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/digest.h"
#include "store/stream.h"

namespace hitfs {

// A blob on its way in: hashed while it is written, in memory while it is small, then in a file of its own. Dropped
// before release_file() it leaves nothing. One owner, not thread-safe.
class StagedBlob final : public ByteSink {
 public:
  // `part` is made only when the bytes no longer fit a pack. More than `limit` bytes are `no_space`.
  StagedBlob(std::filesystem::path part, uint64_t limit) : part_(std::move(part)), limit_(limit) {}
  ~StagedBlob() override;
  StagedBlob(const StagedBlob&) = delete;
  StagedBlob& operator=(const StagedBlob&) = delete;

  Status write(std::span<const std::byte> bytes) override;
  // After the last byte.
  Result<Digest> finish();

  [[nodiscard]] bool is_small() const { return !file_; }
  // Of a small blob.
  [[nodiscard]] std::span<const std::byte> bytes() const;
  [[nodiscard]] const std::filesystem::path& part() const { return part_; }
  // Of a large one: the caller owns the file at part() from now on.
  [[nodiscard]] UniqueFd release_file() { return std::move(file_); }

 private:
  Status flush_buffer();

  std::filesystem::path part_;
  uint64_t limit_;
  uint64_t size_ = 0;
  Hasher hasher_;
  std::string buffer_;
  UniqueFd file_;
};

}  // namespace hitfs
