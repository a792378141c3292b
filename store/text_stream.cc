#include "store/text_stream.h"

#include <array>

#include "store/base/io.h"

namespace hitfs {

Status TextSink::write(std::span<const std::byte> bytes) {
  text += io::as_text(bytes);
  return Ok{};
}

Result<std::string> read_text(ByteSource& source, size_t at_most) {
  std::string text;
  std::array<std::byte, 16384> piece;
  while (true) {
    auto got = source.read(piece);
    if (!got) return std::move(got).error();
    if (*got == 0) return text;
    if (text.size() + *got > at_most) {
      return Error{Code::corrupt, "these are more than " + std::to_string(at_most) + " bytes"};
    }
    text += io::as_text(std::span(piece).first(*got));
  }
}

}  // namespace hitfs
