#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "fs/names/name_record.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs::fs {

// The append-only log of a mount's names: what it says has happened, what it does not say has not. A record is in the
// page cache before its reply goes out, so it survives the death of any process; sync() makes it survive a power cut.
// A failed append leaves the log as it was. One owner, one thread at a time.
class NamesLog {
 public:
  using Apply = std::function<void(const NameRecord&)>;

  // Opens or makes the log and gives every whole record to `apply`, oldest first. A torn tail (a worker or the machine
  // died while writing) is cut off. `invalid_argument` for a log of a later version of hitfs.
  static Result<NamesLog> open(const std::filesystem::path& path, const Apply& apply);

  Status append(const NameRecord& record);
  // Survives a power cut; costs nothing when nothing was appended since the last one.
  Status sync();

  // Replaces the whole log by the records that `emit` hands to its argument: old or new, never part.
  using Emit = std::function<void(const Apply&)>;
  Status rewrite(const Emit& emit);

  [[nodiscard]] uint64_t size() const { return size_; }

 private:
  explicit NamesLog(std::filesystem::path path) : path_(std::move(path)) {}
  Status replay(const Apply& apply);
  Status cut();

  std::filesystem::path path_;
  UniqueFd file_;
  uint64_t size_ = 0;  // bytes of whole records, header included; the next record goes there
  bool torn_ = false;  // there may be bytes after size_
  bool synced_ = false;
  bool name_synced_ = false;
};

}  // namespace hitfs::fs
