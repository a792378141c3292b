#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fs/numbers.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs::fs {

// What the watching process has to say.
struct CloseNews {
  enum class Kind : uint8_t {
    watching,    // answers watch(): from now on every close is told
    not_had,     // answers watch(): no watch, `error` says why
    closed,      // somebody who could write to the file `name` at the top closed it
    free,        // answers look_at(): at a moment after it nobody had `name`, then file `number`, open for writing
    no_file,     // answers look_at(): it is no file (any more)
    missed,      // there were more closes than can be told
    unmounted,   // the mount is gone, and nobody has anything of it open any more
    cannot_tell  // answers look_at(): `error` says why
  } kind = Kind::closed;
  int error = 0;  // errno
  Number number = 0;
  std::string name{};
};

// Tells who writes to files at the top of a mount that knows no OPEN and no RELEASE: inotify (IN_CLOSE_WRITE) says that
// a writer closed a file, and a read lease (fcntl(2), F_SETLEASE), which the kernel grants while nobody has a file open
// for writing, that it was the last one. Both go through the mount, so a process of its own does it: it may wait for
// the very worker that asks. It ends with its worker.
//
// One thread; no call waits. Memory: at most kMostNames names.
class CloseWatch {
 public:
  static constexpr size_t kMostNames = 20'000;

  // Forks: call it before the process has threads.
  static Result<CloseWatch> start(const std::string& mount_point);

  // Readable when there is news, or the process is gone.
  [[nodiscard]] int fd() const { return socket_.get(); }
  // Both: false when the process is too busy to be asked now; fd() becomes writable.
  bool watch();
  bool look_at(std::string_view name);
  // Nothing when there is none now; `unavailable` when the process is gone.
  Result<std::optional<CloseNews>> next();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  CloseWatch(UniqueFd socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}
  UniqueFd socket_;
  pid_t pid_;
};

}  // namespace hitfs::fs
