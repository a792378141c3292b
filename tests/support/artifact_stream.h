#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hitfs::testing {

// A valid Nx artifact of any size, made piece by piece in no memory: a file of bytes that do not compress, stored by
// gzip as they are. The same size and seed give the same bytes.
class ArtifactStream {
 public:
  // About `bytes`, and never less.
  ArtifactStream(uint64_t bytes, uint64_t seed);

  // Of the whole artifact, exactly.
  [[nodiscard]] uint64_t size() const;
  // The next piece, valid until the next call; empty at the end.
  std::string_view next();

  // Takes what somebody else says the artifact is, in any pieces; false from the first wrong byte on.
  bool goes_on_with(std::string_view bytes);
  // Whether goes_on_with() has seen all of it.
  [[nodiscard]] bool was_whole() const { return right_ && compared_ == size(); }

 private:
  void begin_block(size_t bytes, bool last);
  void fill(char* at, size_t bytes);
  void append(std::string_view tar_bytes, bool last);

  const uint64_t blocks_;  // of random content
  const std::string first_, last_;
  uint64_t random_;
  uint64_t made_ = 0;  // pieces
  uint32_t crc_ = 0;
  uint64_t tar_bytes_ = 0;
  std::string piece_;
  std::string_view expected_;  // the rest of piece_ while comparing
  uint64_t compared_ = 0;
  bool right_ = true;
};

}  // namespace hitfs::testing
