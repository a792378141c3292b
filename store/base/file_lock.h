#pragma once

#include <filesystem>

#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs {

// An exclusive lock on a file, held until the object (and with it the process) ends, however it ends. An open file
// description lock (fcntl F_OFD_SETLK): unlike flock it can be asked about without taking it for a moment, so a
// question never makes an owner's acquire() fail. Not inherited by spawn()ed children.
class FileLock {
 public:
  // Makes the file when it is missing. `unavailable` when somebody else holds the lock.
  static Result<FileLock> acquire(const std::filesystem::path& path);

 private:
  explicit FileLock(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
};

// Whether somebody (this process included) holds the lock. A missing file is not locked.
[[nodiscard]] bool is_locked(const std::filesystem::path& path);

}  // namespace hitfs
