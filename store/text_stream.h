#pragma once

#include <string>

#include "store/stream.h"

// Small contents in memory, as text.
namespace hitfs {

// Keeps what is written. Whoever writes knows a limit.
class TextSink final : public ByteSink {
 public:
  Status write(std::span<const std::byte> bytes) override;
  std::string text;
};

// All that is left in `source`; `corrupt` when that is more than `at_most` bytes, of which little more is read.
Result<std::string> read_text(ByteSource& source, size_t at_most);

}  // namespace hitfs
