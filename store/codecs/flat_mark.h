#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "store/base/result.h"

// The gzip header that tells a packed entry from the bytes of a file: FEXTRA (RFC 1952, 2.3.1.1) with one subfield
// "HF". All numbers little-endian:
//
//    0  4  1f 8b 08 04         gzip, deflate, FEXTRA alone
//    4  6  00 00 00 00 00 ff   no time, no flags, unknown system
//   10  2  28                  length of FEXTRA
//   12  2  "HF"                with bytes 0 to 3: the mark
//   14  2  24                  length of the subfield
//   16  1  version             1; a higher one is a format of tomorrow
//   17  1  kind                1 directory, 2 file
//   18  2  mode                of the entry itself, 0777
//   20  8  mtime               of the entry itself, nanoseconds since 1970, signed
//   28  8  size                bytes of the file; 0 for a directory
//   36  4  crc                 CRC-32 of bytes 16 to 35
namespace hitfs {

struct FlatMark {
  enum class Kind : uint8_t { directory = 1, file = 2 };
  Kind kind = Kind::directory;
  uint16_t mode = 0;
  int64_t mtime_ns = 0;
  uint64_t size = 0;

  static constexpr size_t kHeaderBytes = 40;
  static constexpr uint8_t kVersion = 1;

  // Whether these first bytes carry the mark, of any version. A file that begins like this must be wrapped.
  [[nodiscard]] static bool is_on(std::string_view prefix);
  // Whether a prefix with the mark is of a version that we do not know.
  [[nodiscard]] static bool is_newer(std::string_view prefix);
  // Reads a prefix with the mark; `corrupt` unless it is exactly as above.
  static Result<FlatMark> parse(std::string_view prefix);
  // The content of FEXTRA.
  [[nodiscard]] std::string extra() const;
};

}  // namespace hitfs
