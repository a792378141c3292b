#include "store/codecs/flat_mark.h"

#include "store/archive/gzip.h"
#include "store/base/io.h"

namespace hitfs {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view kFixedHead = "\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1c\0HF\x18\0"sv;
constexpr size_t kVersionOffset = 16;
constexpr size_t kFieldBytes = 20;  // what the checksum covers

Error damaged(std::string_view what) { return {Code::corrupt, "flat artifact: " + std::string(what)}; }

void append_le(std::string& into, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) into += static_cast<char>(value >> (8 * i) & 0xff);
}

uint64_t load_le(std::string_view text, size_t offset, int bytes) {
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i) {
    value = value << 8 | static_cast<unsigned char>(text[offset + static_cast<size_t>(i)]);
  }
  return value;
}

}  // namespace

bool FlatMark::is_on(std::string_view prefix) {
  return prefix.size() >= 14 && prefix.starts_with("\x1f\x8b\x08\x04"sv) && prefix.substr(12, 2) == "HF";
}

bool FlatMark::is_newer(std::string_view prefix) {
  return prefix.size() > kVersionOffset && static_cast<uint8_t>(prefix[kVersionOffset]) > kVersion;
}

Result<FlatMark> FlatMark::parse(std::string_view prefix) {
  if (prefix.size() < kHeaderBytes) return damaged("cut in its header");
  if (is_newer(prefix)) return damaged("written by a newer hitfs; update this one to read it");
  if (!prefix.starts_with(kFixedHead)) return damaged("damaged header");
  auto fields = prefix.substr(kVersionOffset, kFieldBytes);
  if (load_le(prefix, 36, 4) != crc32(io::as_bytes(fields))) return damaged("header checksum does not match");
  FlatMark mark;
  mark.kind = static_cast<Kind>(prefix[17]);
  mark.mode = static_cast<uint16_t>(load_le(prefix, 18, 2));
  mark.mtime_ns = static_cast<int64_t>(load_le(prefix, 20, 8));
  mark.size = load_le(prefix, 28, 8);
  bool known = prefix[kVersionOffset] == kVersion && (mark.kind == Kind::directory || mark.kind == Kind::file);
  if (!known || mark.mode > 0777 || (mark.kind == Kind::directory && mark.size != 0)) return damaged("damaged header");
  return mark;
}

std::string FlatMark::extra() const {
  std::string fields;
  fields += static_cast<char>(kVersion);
  fields += static_cast<char>(kind);
  append_le(fields, mode, 2);
  append_le(fields, static_cast<uint64_t>(mtime_ns), 8);
  append_le(fields, size, 8);
  std::string extra = "HF\x18";
  extra += '\0';
  extra += fields;
  append_le(extra, crc32(io::as_bytes(fields)), 4);
  return extra;
}

}  // namespace hitfs
