#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "store/archive/guard.h"
#include "store/base/result.h"
#include "store/stream.h"

// gzip (RFC 1952) through ISA-L: one member and nothing after it, in both directions.
namespace hitfs {

// Inflates an artifact piece by piece, under the guard's byte limits. `corrupt` for damage, a cut body, a wrong
// checksum, a second member or any other byte after the first. One owner, not thread-safe; memory is constant.
class GzipReader : public ByteSource {
 public:
  // Both must outlive the reader.
  GzipReader(ByteSource& artifact, const Guard& guard);
  ~GzipReader() override;

  // 0 only after the trailer was right and the artifact has ended.
  Result<size_t> read(std::span<std::byte> into) override;
  [[nodiscard]] std::optional<uint64_t> size() const override { return std::nullopt; }

 private:
  struct State;
  Status fill();
  Status read_header();
  Status expect_end();

  ByteSource& artifact_;
  const Guard& guard_;
  std::unique_ptr<State> state_;
};

// Writes one gzip member whose bytes depend on what is written alone, not on how it was cut into write() calls.
// Input is taken in pieces of 1 MiB, each compressed without regard to the ones before (ISA-L level 1, stateless), so
// neither buffer sizes nor history change the output. Where the guard's ratio would be broken by very regular data,
// pieces are stored instead, so that what we write is never taken for a bomb. One owner, not thread-safe.
class GzipWriter : public ByteSink {
 public:
  // `extra` is the content of FEXTRA, at most 65,535 bytes; empty means no such field. `into` must outlive the writer.
  GzipWriter(ByteSink& into, const GuardLimits& limits, std::string extra = {});
  ~GzipWriter() override;

  Status write(std::span<const std::byte> bytes) override;
  // Writes what is left and the trailer; must be the last call. Without it the member is cut.
  Status finish();

 private:
  struct State;
  Status write_header();
  Status write_piece();
  Status store_piece();
  Status emit(std::span<const std::byte> bytes);

  ByteSink& into_;
  GuardLimits limits_;
  std::string extra_;
  std::unique_ptr<State> state_;
};

// The CRC-32 of gzip (IEEE, reflected).
[[nodiscard]] uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace hitfs
