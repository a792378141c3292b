#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "store/archive/guard.h"
#include "store/base/result.h"
#include "store/stream.h"

namespace hitfs {

struct TarMember {
  FileType type = FileType::file;
  std::string path;  // raw: the guard has not seen it
  std::string target;
  uint16_t mode = 0;
  int64_t mtime_ns = 0;
  uint64_t size = 0;
};

// Reads a tar stream member by member through libarchive, checked against TarGrammar: a member that the two read
// differently is `corrupt`, and so is every warning of libarchive. Memory is bounded (one piece of 256 KiB and the
// members in it). One owner, not thread-safe; names are bytes, the process's locale does not matter.
class TarReader {
 public:
  // `tar` must outlive the reader.
  TarReader(ByteSource& tar, ArchiveReaders readers);
  ~TarReader();

  // The next member; none at the end, and then the stream was read to its last byte and was whole. Bytes of the last
  // file that were not read are passed over.
  Result<std::optional<TarMember>> next();
  // All bytes of the file that next() gave, exactly its size.
  Status read(ByteSink& into);

 private:
  struct State;
  Status open();
  Status drain();
  Result<TarMember> check_member();

  std::unique_ptr<State> state_;
};

}  // namespace hitfs
