#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "store/base/result.h"

namespace hitfs {

// Bytes that arrive in pieces. One reader at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills some of `into` and returns how much; 0 is the end.
  virtual Result<size_t> read(std::span<std::byte> into) = 0;
  // The whole length, where it is known beforehand.
  [[nodiscard]] virtual std::optional<uint64_t> size() const = 0;
};

// Takes bytes in pieces. One writer at a time; an Error ends the stream.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual Status write(std::span<const std::byte> bytes) = 0;
};

}  // namespace hitfs
