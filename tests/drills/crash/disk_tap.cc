#include "tests/drills/crash/disk_tap.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <utility>

namespace hitfs::testing {

namespace {

std::atomic<DiskObserver*> g_observer{nullptr};
std::string& folder() {
  static auto* const kFolder = new std::string;  // used until the very end of the process
  return *kFolder;
}
thread_local bool t_inside = false;

bool is_ours(const std::string& path) {
  return path.starts_with(folder()) && !path.ends_with("-shm") &&
         (path.size() == folder().size() || path[folder().size()] == '/');
}

std::string path_of(int fd) {
  std::array<char, 4096> path{};
  auto link = "/proc/self/fd/" + std::to_string(fd);
  auto size = ::readlink(link.c_str(), path.data(), path.size());
  return size < 0 ? std::string() : std::string(path.data(), static_cast<size_t>(size));
}

// `path` as a system call with `folder_fd` means it.
std::string path_at(int folder_fd, const char* path) {
  if (path[0] == '/' || folder_fd == AT_FDCWD) return path;
  return path_of(folder_fd) + "/" + path;
}

struct stat status_of(int fd) {
  struct stat info {};
  ::fstat(fd, &info);
  return info;
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

// Whether calls are to be looked at now, on this thread.
bool is_watched() { return !t_inside && g_observer.load(std::memory_order_acquire) != nullptr; }

// The system call `number` as `call`; `call` is filled in by before().
template <typename... Arguments>
long observed(DiskCall call, long number, Arguments... arguments) {
  auto* observer = g_observer.load(std::memory_order_acquire);
  t_inside = true;
  observer->before(call);
  long result = ::syscall(number, arguments...);
  int failure = errno;
  if (call.kind == DiskCall::Kind::create && result >= 0) call.inode = status_of(static_cast<int>(result)).st_ino;
  observer->after(call, result >= 0);
  t_inside = false;
  errno = failure;
  return result;
}

// A call on a descriptor; `describe` adds what it changes.
template <typename Describe, typename... Arguments>
long on_descriptor(DiskCall::Kind kind, int fd, Describe describe, long number, Arguments... arguments) {
  if (is_watched()) {
    DiskCall call{kind, path_of(fd)};
    if (is_ours(call.path)) {
      call.fd = fd;
      call.inode = status_of(fd).st_ino;
      describe(call);
      return observed(std::move(call), number, arguments...);
    }
  }
  return ::syscall(number, arguments...);
}

template <typename... Arguments>
long on_path(DiskCall::Kind kind, int folder_fd, const char* path, mode_t mode, long number, Arguments... arguments) {
  if (is_watched()) {
    DiskCall call{kind, path_at(folder_fd, path)};
    call.mode = mode;
    if (is_ours(call.path)) return observed(std::move(call), number, arguments...);
  }
  return ::syscall(number, arguments...);
}

long on_two_paths(DiskCall::Kind kind, int from_fd, const char* from, int to_fd, const char* to, long number,
                  unsigned flags) {
  if (is_watched()) {
    DiskCall call{kind, path_at(from_fd, from), path_at(to_fd, to)};
    if (is_ours(call.target)) return observed(std::move(call), number, from_fd, from, to_fd, to, flags);
  }
  return ::syscall(number, from_fd, from, to_fd, to, flags);
}

int opened(int folder_fd, const char* path, int flags, mode_t mode) {
  if (is_watched() && (flags & (O_CREAT | O_TRUNC)) != 0 && (flags & O_TMPFILE) != O_TMPFILE) {
    auto full = path_at(folder_fd, path);
    bool there = exists(full);
    if (is_ours(full) && (!there || (flags & O_TRUNC) != 0)) {
      DiskCall call{DiskCall::Kind::create, full};
      call.mode = mode;
      return static_cast<int>(observed(std::move(call), SYS_openat, folder_fd, path, flags, mode));
    }
  }
  return static_cast<int>(::syscall(SYS_openat, folder_fd, path, flags, mode));
}

long written(int fd, const void* bytes, size_t size, uint64_t offset, long number, auto... arguments) {
  auto describe = [&](DiskCall& call) {
    call.offset = offset;
    call.bytes = {static_cast<const std::byte*>(bytes), size};
  };
  return on_descriptor(DiskCall::Kind::write, fd, describe, number, arguments...);
}

int synced(int fd, long number) {
  bool whole = number == SYS_syncfs;
  bool is_folder = is_watched() && S_ISDIR(status_of(fd).st_mode);
  auto kind = whole ? DiskCall::Kind::sync_all : is_folder ? DiskCall::Kind::sync_folder : DiskCall::Kind::sync_file;
  return static_cast<int>(on_descriptor(
      kind, fd, [](DiskCall&) {}, number, fd));
}

int truncated(int fd, off_t size) {
  auto describe = [&](DiskCall& call) { call.size = static_cast<uint64_t>(size); };
  return static_cast<int>(on_descriptor(DiskCall::Kind::truncate, fd, describe, SYS_ftruncate, fd, size));
}

mode_t mode_argument(int flags, va_list& arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

const char* to_string(DiskCall::Kind kind) {
  switch (kind) {
    case DiskCall::Kind::create: return "create";
    case DiskCall::Kind::write: return "write";
    case DiskCall::Kind::truncate: return "truncate";
    case DiskCall::Kind::sync_file: return "fsync";
    case DiskCall::Kind::sync_folder: return "fsync folder";
    case DiskCall::Kind::sync_all: return "syncfs";
    case DiskCall::Kind::rename: return "rename";
    case DiskCall::Kind::link: return "link";
    case DiskCall::Kind::unlink: return "unlink";
    case DiskCall::Kind::make_folder: return "mkdir";
    case DiskCall::Kind::remove_folder: return "rmdir";
  }
  return "unknown";
}

void observe_disk(const std::string& watched, DiskObserver* observer) {
  g_observer.store(nullptr, std::memory_order_release);
  folder() = watched;
  g_observer.store(observer, std::memory_order_release);
}

}  // namespace hitfs::testing

// The C library's names. Exported, so that shared libraries find these first.
#define HITFS_TAP extern "C" __attribute__((visibility("default")))

using hitfs::testing::DiskCall;

HITFS_TAP int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = hitfs::testing::mode_argument(flags, arguments);
  va_end(arguments);
  return hitfs::testing::opened(AT_FDCWD, path, flags, mode);
}

HITFS_TAP int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = hitfs::testing::mode_argument(flags, arguments);
  va_end(arguments);
  return hitfs::testing::opened(AT_FDCWD, path, flags, mode);
}

HITFS_TAP int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = hitfs::testing::mode_argument(flags, arguments);
  va_end(arguments);
  return hitfs::testing::opened(folder, path, flags, mode);
}

HITFS_TAP ssize_t write(int fd, const void* bytes, size_t size) {
  uint64_t offset = 0;
  if (hitfs::testing::is_watched()) {
    bool append = (::fcntl(fd, F_GETFL) & O_APPEND) != 0;
    auto at = ::lseek(fd, 0, append ? SEEK_END : SEEK_CUR);
    offset = at < 0 ? 0 : static_cast<uint64_t>(at);
  }
  return hitfs::testing::written(fd, bytes, size, offset, SYS_write, fd, bytes, size);
}

HITFS_TAP ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return hitfs::testing::written(fd, bytes, size, static_cast<uint64_t>(offset), SYS_pwrite64, fd, bytes, size, offset);
}

HITFS_TAP ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  return hitfs::testing::written(fd, bytes, size, static_cast<uint64_t>(offset), SYS_pwrite64, fd, bytes, size, offset);
}

HITFS_TAP int ftruncate(int fd, off_t size) noexcept { return hitfs::testing::truncated(fd, size); }
HITFS_TAP int ftruncate64(int fd, off64_t size) noexcept { return hitfs::testing::truncated(fd, size); }
HITFS_TAP int fsync(int fd) { return hitfs::testing::synced(fd, SYS_fsync); }
HITFS_TAP int fdatasync(int fd) { return hitfs::testing::synced(fd, SYS_fdatasync); }
HITFS_TAP int syncfs(int fd) noexcept { return hitfs::testing::synced(fd, SYS_syncfs); }

HITFS_TAP int rename(const char* from, const char* to) noexcept {
  return static_cast<int>(
      hitfs::testing::on_two_paths(DiskCall::Kind::rename, AT_FDCWD, from, AT_FDCWD, to, SYS_renameat2, 0));
}

HITFS_TAP int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) noexcept {
  return static_cast<int>(
      hitfs::testing::on_two_paths(DiskCall::Kind::rename, from_fd, from, to_fd, to, SYS_renameat2, flags));
}

HITFS_TAP int link(const char* from, const char* to) noexcept {
  return static_cast<int>(
      hitfs::testing::on_two_paths(DiskCall::Kind::link, AT_FDCWD, from, AT_FDCWD, to, SYS_linkat, 0));
}

HITFS_TAP int unlink(const char* path) noexcept {
  return static_cast<int>(
      hitfs::testing::on_path(DiskCall::Kind::unlink, AT_FDCWD, path, 0, SYS_unlinkat, AT_FDCWD, path, 0));
}

HITFS_TAP int unlinkat(int folder, const char* path, int flags) noexcept {
  auto kind = flags == 0 ? DiskCall::Kind::unlink : DiskCall::Kind::remove_folder;
  return static_cast<int>(hitfs::testing::on_path(kind, folder, path, 0, SYS_unlinkat, folder, path, flags));
}

HITFS_TAP int rmdir(const char* path) noexcept {
  return static_cast<int>(hitfs::testing::on_path(DiskCall::Kind::remove_folder, AT_FDCWD, path, 0, SYS_unlinkat,
                                                  AT_FDCWD, path, AT_REMOVEDIR));
}

HITFS_TAP int mkdir(const char* path, mode_t mode) noexcept {
  return static_cast<int>(
      hitfs::testing::on_path(DiskCall::Kind::make_folder, AT_FDCWD, path, mode, SYS_mkdirat, AT_FDCWD, path, mode));
}
