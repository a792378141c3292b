// The programs' side of disk_faults.h: stands before libc. Every call looks at the page first; while the disk is fine
// that is all.
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/drills/disk_faults.h"

namespace {

using hitfs::testing::DiskFaultsPage;

DiskFaultsPage* g_page = nullptr;

// Before main: a program that cannot have the page runs as if nothing stood before libc.
__attribute__((constructor)) void find_page() {
  const char* file = std::getenv(DiskFaultsPage::kVariable);
  if (file == nullptr) return;
  int fd = ::open(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* shared = ::mmap(nullptr, sizeof(DiskFaultsPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (shared != MAP_FAILED) g_page = static_cast<DiskFaultsPage*>(shared);
}

bool armed() { return g_page != nullptr && g_page->error.load() != 0; }

// The errno with which a change of `path` fails, or 0.
int fault_at(const char* path) {
  int error = g_page->error;
  if (error == 0 || ::fnmatch(g_page->pattern, path, 0) != 0) return 0;
  if (g_page->after.fetch_sub(1) > 0) return 0;
  g_page->injected.fetch_add(1);
  return error;
}

bool path_fails(int folder, const char* path) {
  if (!armed()) return false;
  char whole[2 * PATH_MAX];
  std::snprintf(whole, sizeof(whole), "%s", path);
  if (path[0] != '/' && folder != AT_FDCWD) {
    char link[64], place[PATH_MAX];
    std::snprintf(link, sizeof(link), "/proc/self/fd/%d", folder);
    auto length = ::readlink(link, place, sizeof(place) - 1);
    if (length < 0) return false;
    place[length] = '\0';
    std::snprintf(whole, sizeof(whole), "%s/%s", place, path);
  }
  int error = fault_at(whole);
  if (error == 0) return false;
  errno = error;
  return true;
}

bool fd_fails(int fd) {
  if (!armed()) return false;
  int kept = errno;
  char link[64], place[PATH_MAX];
  std::snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  auto length = ::readlink(link, place, sizeof(place) - 1);
  errno = kept;
  if (length <= 0 || place[0] != '/') return false;
  place[length] = '\0';
  int error = fault_at(place);
  if (error == 0) return false;
  errno = error;
  return true;
}

template <typename Function>
Function* real(Function*, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

mode_t mode_of(int flags, va_list more) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(more, int)) : 0;
}

// Opening changes a disk when it makes or empties a file; a disk that is read-only refuses every writer.
bool open_fails(int folder, const char* path, int flags) {
  bool writes = (flags & O_ACCMODE) != O_RDONLY;
  bool changes = (flags & O_TRUNC) != 0 || ((flags & O_CREAT) != 0 && ::faccessat(folder, path, F_OK, 0) < 0);
  bool refused = armed() && g_page->error == EROFS && writes;
  return (changes || refused) && path_fails(folder, path);
}

}  // namespace

#define REAL(name) static auto* const next = real(&::name, #name)

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = mode_of(flags, more);
  va_end(more);
  static auto* const next = reinterpret_cast<int (*)(const char*, int, ...)>(::dlsym(RTLD_NEXT, "open"));
  return armed() && open_fails(AT_FDCWD, path, flags) ? -1 : next(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = mode_of(flags, more);
  va_end(more);
  return ::open(path, flags, mode);  // one and the same where off_t has 64 bits
}
int openat(int folder, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = mode_of(flags, more);
  va_end(more);
  static auto* const next = reinterpret_cast<int (*)(int, const char*, int, ...)>(::dlsym(RTLD_NEXT, "openat"));
  return armed() && open_fails(folder, path, flags) ? -1 : next(folder, path, flags, mode);
}
ssize_t write(int fd, const void* bytes, size_t size) {
  REAL(write);
  return fd_fails(fd) ? -1 : next(fd, bytes, size);
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  REAL(pwrite);
  return fd_fails(fd) ? -1 : next(fd, bytes, size, offset);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) { return ::pwrite(fd, bytes, size, offset); }
// A disk that is full lets nothing grow, and takes what makes room.
int ftruncate(int fd, off_t size) noexcept {
  REAL(ftruncate);
  struct stat info {};
  bool grows = ::fstat(fd, &info) < 0 || size > info.st_size;
  bool takes = armed() && g_page->error == ENOSPC && !grows;
  return !takes && fd_fails(fd) ? -1 : next(fd, size);
}
int ftruncate64(int fd, off64_t size) noexcept { return ::ftruncate(fd, size); }
int fsync(int fd) {
  REAL(fsync);
  return fd_fails(fd) ? -1 : next(fd);
}
int fdatasync(int fd) {
  REAL(fdatasync);
  return fd_fails(fd) ? -1 : next(fd);
}
int syncfs(int fd) noexcept {
  REAL(syncfs);
  return fd_fails(fd) ? -1 : next(fd);
}
int rename(const char* from, const char* to) noexcept {
  REAL(rename);
  return path_fails(AT_FDCWD, to) ? -1 : next(from, to);
}
int link(const char* from, const char* to) noexcept {
  REAL(link);
  return path_fails(AT_FDCWD, to) ? -1 : next(from, to);
}
int symlink(const char* target, const char* path) noexcept {
  REAL(symlink);
  return path_fails(AT_FDCWD, path) ? -1 : next(target, path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  REAL(mkdir);
  return path_fails(AT_FDCWD, path) ? -1 : next(path, mode);
}
int unlink(const char* path) noexcept {
  REAL(unlink);
  bool takes = armed() && g_page->error == ENOSPC;
  return !takes && path_fails(AT_FDCWD, path) ? -1 : next(path);
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  REAL(unlinkat);
  bool takes = armed() && g_page->error == ENOSPC;
  return !takes && path_fails(folder, path) ? -1 : next(folder, path, flags);
}

}  // extern "C"
