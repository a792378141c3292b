#include "store/base/file_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "store/base/io.h"

namespace hitfs {

namespace {

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

Result<FileLock> FileLock::acquire(const std::filesystem::path& path) {
  auto file = io::create(path, "lock", {.mode = 0600, .exclusive = false});
  if (!file) return std::move(file).error();
  auto lock = whole_file();
  if (::fcntl(file->get(), F_OFD_SETLK, &lock) == 0) return FileLock(std::move(*file));
  if (errno == EAGAIN || errno == EACCES)
    return Error{Code::unavailable, path.string() + " is locked by another process"};
  return system_error("lock " + path.string(), errno);
}

bool is_locked(const std::filesystem::path& path) {
  auto file = io::open_write(path);
  if (!file) return false;
  auto lock = whole_file();
  return ::fcntl(file->get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace hitfs
