#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "store/archive/guard.h"
#include "store/base/result.h"

namespace hitfs {

// What the headers of one tar member say.
struct TarShape {
  FileType type = FileType::file;
  std::string path;    // raw, as in the archive; slashes at the end of a directory's path are cut
  std::string target;  // of a symlink
  uint64_t size = 0;   // of a file
};

// A strict second reader of a tar stream. libarchive and the readers inside of build tools are generous, each in its
// own way: sparse maps, unknown member types, extended headers that rename, sizes on links. An archive that two readers
// take differently can pass our guard and still climb out of a directory elsewhere. So this one knows only the plain
// part of the format that all readers agree on, and TarReader refuses a member on which libarchive and it differ.
//
// Known: POSIX ustar, GNU and v7 headers with an unsigned checksum; member types 0 (and NUL), 5, 2, GNU long names L
// and K, pax x with the keywords path, linkpath, size, mtime, atime, ctime, uid, gid, uname, gname, comment and
// hdrcharset=BINARY; at least two zero blocks at the end and nothing but zeros after them. For other programs also: no
// pax size unlike the header's, no newline in a pax value (some readers cut records at newlines), no hdrcharset.
// Grammar and sources: POSIX pax, GNU tar manual "Basic Tar Format". One owner, not thread-safe.
class TarGrammar {
 public:
  explicit TarGrammar(ArchiveReaders readers) : readers_(readers) {}

  // The next bytes of the stream, in any pieces.
  Status see(std::span<const std::byte> bytes);
  // The next member whose headers were seen, in order; none when libarchive is ahead of the bytes seen.
  std::optional<TarShape> next();
  // To be asked after the last byte: `corrupt` unless the archive is whole.
  [[nodiscard]] Status finish() const;

 private:
  static constexpr size_t kBlock = 512;
  enum class State {
    header,  // collecting a header block
    body,    // passing over the bytes of a member and their padding
    extra,   // collecting a long name or extended header
    end,     // after the first zero block: zeros only
  };
  enum class Extra { none, path, target, pax };

  // What the extra headers before a member say of it.
  struct Pending {
    std::optional<std::string> path;
    std::optional<std::string> target;
    std::optional<uint64_t> size;
    bool any = false;
  };

  Status on_header();
  Status on_extra_header(char type, uint64_t size);
  Status on_member(char type, uint64_t size);
  Status on_extra();
  Status on_pax(std::string_view text);
  Status on_pax_record(std::string_view keyword, std::string_view value);
  [[nodiscard]] std::string header_path(bool posix) const;

  ArchiveReaders readers_;
  State state_ = State::header;
  std::string block_;
  uint64_t left_ = 0;  // bytes of body or extra that are still to come, padding included
  Extra extra_ = Extra::none;
  uint64_t extra_size_ = 0;
  std::string extra_bytes_;
  Pending pending_;
  uint64_t end_zeros_ = 0;
  std::deque<TarShape> members_;
};

}  // namespace hitfs
