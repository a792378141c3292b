#include "store/archive/tar_grammar.h"

#include <algorithm>

#include "store/base/io.h"

namespace hitfs {

namespace {

constexpr uint64_t kMaxNameRecord = 8 << 10;  // a path has at most 4095 bytes
constexpr uint64_t kMaxPaxHeader = 64 << 10;
constexpr uint64_t kMaxSize = 1ull << 60;  // larger sizes are nonsense and would overflow with their padding

Error damaged(std::string_view what) { return {Code::corrupt, "tar: " + std::string(what)}; }

struct Field {
  size_t offset, length;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12}, kMtime{136, 12},
    kChecksum{148, 8}, kLink{157, 100}, kMagic{257, 8}, kPrefix{345, 155}, kGnuRest{369, 143};
constexpr size_t kType = 156;

std::string_view bytes_of(const std::string& block, Field field) {
  return std::string_view(block).substr(field.offset, field.length);
}

std::string_view text_of(const std::string& block, Field field) {
  auto bytes = bytes_of(block, field);
  return bytes.substr(0, bytes.find('\0'));
}

bool is_zero(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == '\0'; });
}

// Octal between blanks, or base-256; blank is 0. None for anything that some reader takes otherwise.
std::optional<uint64_t> number_of(const std::string& block, Field field) {
  auto bytes = bytes_of(block, field);
  uint64_t value = 0;
  if (static_cast<unsigned char>(bytes[0]) == 0x80) {
    for (char c : bytes.substr(1)) {
      if (value >> 54) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  }
  size_t i = bytes.find_first_not_of(' ');
  if (i == std::string_view::npos) return 0;
  for (; i < bytes.size() && bytes[i] >= '0' && bytes[i] <= '7'; ++i) {
    value = value << 3 | static_cast<uint64_t>(bytes[i] - '0');
  }
  bool blank_rest = bytes.find_first_not_of(std::string_view(" \0", 2), i) == std::string_view::npos;
  return blank_rest ? std::optional(value) : std::nullopt;
}

bool checksum_matches(const std::string& block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < block.size(); ++i) {
    bool inside = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.length;
    sum += inside ? ' ' : static_cast<unsigned char>(block[i]);
  }
  return number_of(block, kChecksum) == sum;
}

std::string without_end_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::optional<uint64_t> decimal(std::string_view text) {
  if (text.empty() || text.size() > 18) return std::nullopt;
  uint64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

}  // namespace

Status TarGrammar::see(std::span<const std::byte> bytes) {
  auto text = io::as_text(bytes);
  while (!text.empty()) {
    size_t take = text.size();
    switch (state_) {
      case State::header:
        take = std::min(take, kBlock - block_.size());
        block_ += text.substr(0, take);
        if (block_.size() == kBlock) {
          if (auto done = on_header(); !done) return done;
          block_.clear();
        }
        break;
      case State::body:
        take = static_cast<size_t>(std::min<uint64_t>(take, left_));
        left_ -= take;
        if (left_ == 0) state_ = State::header;
        break;
      case State::extra:
        take = static_cast<size_t>(std::min<uint64_t>(take, left_));
        extra_bytes_ += text.substr(0, take);
        left_ -= take;
        if (left_ == 0) {
          state_ = State::header;
          if (auto done = on_extra(); !done) return done;
        }
        break;
      case State::end:
        if (!is_zero(text)) return damaged("bytes after the end of the archive");
        end_zeros_ += take;
        break;
    }
    text.remove_prefix(take);
  }
  return Ok{};
}

std::optional<TarShape> TarGrammar::next() {
  if (members_.empty()) return std::nullopt;
  auto shape = std::move(members_.front());
  members_.pop_front();
  return shape;
}

Status TarGrammar::finish() const {
  if (state_ != State::end || end_zeros_ < 2 * kBlock) return damaged("the end of the archive is missing");
  return Ok{};
}

Status TarGrammar::on_header() {
  if (is_zero(block_)) {
    if (pending_.any) return damaged("extended header without a member");
    state_ = State::end;
    end_zeros_ = kBlock;
    return Ok{};
  }
  if (!checksum_matches(block_)) return damaged("header checksum does not match");
  for (Field field : {kMode, kUid, kGid, kMtime}) {
    // libarchive writes times before 1970 as negative base-256, which it alone is sure to read.
    if (field.offset == kMtime.offset && readers_ == ArchiveReaders::hitfs_only) continue;
    if (!number_of(block_, field)) return damaged("header with a field that is no number");
  }
  auto size = number_of(block_, kSize);
  if (!size || *size > kMaxSize) return damaged("header with an impossible size");
  char type = block_[kType];
  if (type == 'L' || type == 'K' || type == 'x') return on_extra_header(type, *size);
  return on_member(type, *size);
}

Status TarGrammar::on_extra_header(char type, uint64_t size) {
  uint64_t limit = type == 'x' ? kMaxPaxHeader : kMaxNameRecord;
  if (size == 0 || size > limit) return damaged("extended header of an impossible size");
  extra_ = type == 'L' ? Extra::path : type == 'K' ? Extra::target : Extra::pax;
  extra_size_ = size;
  extra_bytes_.clear();
  left_ = (size + kBlock - 1) / kBlock * kBlock;
  state_ = State::extra;
  return Ok{};
}

std::string TarGrammar::header_path(bool posix) const {
  auto name = std::string(text_of(block_, kName));
  auto prefix = posix ? text_of(block_, kPrefix) : std::string_view();
  return prefix.empty() ? name : std::string(prefix) + "/" + name;
}

Status TarGrammar::on_member(char type, uint64_t size) {
  auto magic = bytes_of(block_, kMagic);
  bool gnu = magic == std::string_view("ustar  \0", 8);
  bool posix = magic == std::string_view("ustar\00000", 8);
  if (!gnu && !posix && !is_zero(magic)) return damaged("header of an unknown kind");
  if (gnu && !is_zero(bytes_of(block_, kGnuRest))) return damaged("sparse or multi-volume member");
  if (!gnu && !posix && !is_zero(std::string_view(block_).substr(kMagic.offset))) {
    return damaged("header of an unknown kind");
  }

  TarShape shape;
  shape.path = pending_.path ? *std::move(pending_.path) : header_path(posix);
  if (type == '0' || type == '\0') {
    if (shape.path.ends_with('/')) return damaged("file with a directory's name");
    if (pending_.target || block_[kLink.offset] != '\0') return damaged("file with a link target");
    shape.size = pending_.size.value_or(size);
    if (readers_ == ArchiveReaders::other_programs && shape.size != size) return damaged("two sizes of one member");
  } else if (type == '5' || type == '2') {
    if (size != 0 || pending_.size.value_or(0) != 0) return damaged("directory or link with a size");
    shape.type = type == '5' ? FileType::directory : FileType::symlink;
    if (type == '5') shape.path = without_end_slashes(std::move(shape.path));
    if (type == '2') shape.target = pending_.target ? *std::move(pending_.target) : text_of(block_, kLink);
  } else {
    return damaged("member " + printable_path(shape.path) + " is no file, directory or symbolic link");
  }
  pending_ = {};
  left_ = (shape.size + kBlock - 1) / kBlock * kBlock;
  if (left_ > 0) state_ = State::body;
  members_.push_back(std::move(shape));
  return Ok{};
}

Status TarGrammar::on_extra() {
  if (!is_zero(std::string_view(extra_bytes_).substr(extra_size_))) return damaged("padding that is not zero");
  std::string text = extra_bytes_.substr(0, extra_size_);
  pending_.any = true;
  if (extra_ == Extra::pax) return on_pax(text);
  if (text.ends_with('\0')) text.pop_back();
  if (text.empty() || text.find('\0') != std::string::npos) return damaged("long name with a NUL byte");
  auto& field = extra_ == Extra::path ? pending_.path : pending_.target;
  if (field) return damaged("two names of one member");
  field = std::move(text);
  return Ok{};
}

// Records "LENGTH KEYWORD=VALUE\n"; LENGTH counts the whole record in decimal.
Status TarGrammar::on_pax(std::string_view text) {
  while (!text.empty()) {
    auto space = text.find(' ');
    auto length = decimal(text.substr(0, std::min(space, text.size())));
    if (space == std::string_view::npos || !length || text[0] == '0') return damaged("broken extended header");
    if (*length > text.size() || *length <= space + 1 || text[*length - 1] != '\n') {
      return damaged("broken extended header");
    }
    auto record = text.substr(space + 1, *length - space - 2);
    auto equals = record.find('=');
    if (equals == std::string_view::npos) return damaged("broken extended header");
    auto done = on_pax_record(record.substr(0, equals), record.substr(equals + 1));
    if (!done) return done;
    text.remove_prefix(*length);
  }
  return Ok{};
}

Status TarGrammar::on_pax_record(std::string_view keyword, std::string_view value) {
  if (value.find('\0') != std::string_view::npos) return damaged("NUL byte in an extended header");
  bool others = readers_ == ArchiveReaders::other_programs;
  if (others && value.find('\n') != std::string_view::npos) return damaged("newline in an extended header");
  if (keyword == "path" || keyword == "linkpath") {
    auto& field = keyword == "path" ? pending_.path : pending_.target;
    if (value.empty()) return damaged("empty name in an extended header");
    if (field) return damaged("two names of one member");
    field = std::string(value);
    return Ok{};
  }
  if (keyword == "size") {
    auto size = decimal(value);
    if (!size || *size > kMaxSize) return damaged("impossible size in an extended header");
    if (pending_.size) return damaged("two sizes of one member");
    pending_.size = size;
    return Ok{};
  }
  if (keyword == "hdrcharset" && value == "BINARY" && !others) return Ok{};
  for (std::string_view numeric : {"mtime", "atime", "ctime", "uid", "gid"}) {
    bool is_number = !value.empty() && value.find_first_not_of("-.0123456789") == std::string_view::npos;
    if (keyword == numeric && !is_number) return damaged("extended header with a field that is no number");
    if (keyword == numeric) return Ok{};
  }
  for (std::string_view harmless : {"uname", "gname", "comment"}) {
    if (keyword == harmless) return Ok{};
  }
  return damaged("unknown keyword " + printable_path(keyword) + " in an extended header");
}

}  // namespace hitfs
