#include "tests/drills/checked_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>

namespace hitfs::testing {

namespace {

constexpr int kFlags = O_CLOEXEC | O_NOFOLLOW;
constexpr int kNew = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;

void raise(std::atomic<int64_t>& most, int64_t value) {
  auto before = most.load();
  while (before < value && !most.compare_exchange_weak(before, value)) {
  }
}

}  // namespace

// The result of a call that ended as it must (of a failure that must be, -1), else -2.
int64_t CheckedCalls::make(Call kind, const Path& about, int must, const std::function<int64_t()>& call) {
  auto& counts = tally_.kinds[static_cast<size_t>(kind)];
  ++counts.made;
  ++tally_.running;
  auto begin = std::chrono::steady_clock::now();
  errno = 0;
  int64_t result = call();
  int failure = result < 0 ? errno : 0;
  auto took = std::chrono::steady_clock::now() - begin;
  --tally_.running;
  raise(tally_.longest_ns, std::chrono::duration_cast<std::chrono::nanoseconds>(took).count());
  if (failure == must) return result;
  fails(kind, about, fmt::format("{} instead of {}", std::strerror(failure), std::strerror(must)));
  return -2;
}

bool CheckedCalls::fails(Call kind, const Path& about, const std::string& how) {
  ++tally_.kinds[static_cast<size_t>(kind)].failed;
  tally_.tell(fmt::format("call {} on {}: {}", static_cast<int>(kind), about.string(), how));
  return false;
}

bool CheckedCalls::same(Call kind, const Path& about, std::string_view got, std::string_view expected) {
  tally_.bytes_compared += got.size();
  if (got == expected) return true;
  ++tally_.wrong_bytes;
  size_t at = 0;
  while (at < got.size() && at < expected.size() && got[at] == expected[at]) ++at;
  tally_.tell(fmt::format("call {} on {}: {} bytes instead of {}, different from byte {}", static_cast<int>(kind),
                          about.string(), got.size(), expected.size(), at));
  return false;
}

UniqueFd CheckedCalls::open(const Path& path, int flags) {
  return UniqueFd(static_cast<int>(make(Call::open, path, 0, [&] { return ::open(path.c_str(), flags | kFlags); })));
}

bool CheckedCalls::open_fails(const Path& path, int must) {
  return make(Call::open, path, must, [&] { return ::open(path.c_str(), O_RDONLY | kFlags); }) == -1;
}

UniqueFd CheckedCalls::create(const Path& path) {
  return UniqueFd(static_cast<int>(make(Call::create, path, 0, [&] { return ::open(path.c_str(), kNew, 0644); })));
}

bool CheckedCalls::create_fails(const Path& path, int must) {
  return make(Call::create, path, must, [&] { return ::open(path.c_str(), kNew, 0644); }) == -1;
}

bool CheckedCalls::write(int file, std::string_view bytes, size_t offset) {
  auto written = make(Call::write, "a file", 0,
                      [&] { return ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
  if (written < 0) return false;
  return written == static_cast<int64_t>(bytes.size()) || fails(Call::write, "a file", "short");
}

bool CheckedCalls::truncate(int file, size_t size) {
  return make(Call::truncate, "a file", 0, [&] { return ::ftruncate(file, static_cast<off_t>(size)); }) == 0;
}

bool CheckedCalls::sync(int file) {
  return make(Call::sync, "a file", 0, [&] { return ::fsync(file); }) == 0;
}

bool CheckedCalls::chmod(const Path& path, unsigned mode) {
  struct stat info {};
  if (make(Call::chmod, path, 0, [&] { return ::chmod(path.c_str(), mode); }) < 0) return false;
  if (make(Call::stat, path, 0, [&] { return ::stat(path.c_str(), &info); }) < 0) return false;
  return (info.st_mode & 0777u) == mode || fails(Call::stat, path, "another mode");
}

bool CheckedCalls::rename(const Path& from, const Path& to) {
  return make(Call::rename, from, 0, [&] { return ::rename(from.c_str(), to.c_str()); }) == 0;
}

bool CheckedCalls::unlink(const Path& path) {
  return make(Call::unlink, path, 0, [&] { return ::unlink(path.c_str()); }) == 0;
}

bool CheckedCalls::mkdir(const Path& path, int must) {
  return make(Call::mkdir, path, must, [&] { return ::mkdir(path.c_str(), 0755); }) >= -1;
}

bool CheckedCalls::rmdir(const Path& path, int must) {
  return make(Call::rmdir, path, must, [&] { return ::rmdir(path.c_str()); }) >= -1;
}

bool CheckedCalls::symlink(const std::string& target, const Path& path) {
  return make(Call::symlink, path, 0, [&] { return ::symlink(target.c_str(), path.c_str()); }) == 0;
}

bool CheckedCalls::link_is(const Path& path, const std::string& target) {
  std::string got(4096, '\0');
  auto size = make(Call::readlink, path, 0, [&] { return ::readlink(path.c_str(), got.data(), got.size()); });
  if (size < 0) return false;
  got.resize(static_cast<size_t>(size));
  return same(Call::readlink, path, got, target);
}

bool CheckedCalls::size_is(const Path& path, size_t size) {
  struct stat info {};
  if (make(Call::stat, path, 0, [&] { return ::lstat(path.c_str(), &info); }) < 0) return false;
  return info.st_size == static_cast<off_t>(size) || fails(Call::stat, path, "another size");
}

bool CheckedCalls::missing(const Path& path) {
  struct stat info {};
  return make(Call::look_for_missing, path, ENOENT, [&] { return ::lstat(path.c_str(), &info); }) == -1;
}

CheckedCalls::Found CheckedCalls::look(const Path& path) {
  struct stat info {};
  bool there = false;
  auto looked = make(Call::stat, path, 0, [&] {
    there = ::lstat(path.c_str(), &info) == 0;
    return there || errno == ENOENT ? 0 : -1;
  });
  if (looked < 0) return Found::failed;
  return there ? Found::yes : Found::no;
}

bool CheckedCalls::names_are(const Path& folder, const std::set<std::string>& names, const std::string& mine) {
  std::multiset<std::string> seen;
  auto listed = make(Call::list, folder, 0, [&]() -> int64_t {
    std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), &::closedir);
    if (!open) return -1;
    errno = 0;
    while (const auto* entry = ::readdir(open.get())) {
      std::string name = entry->d_name;
      if (name != "." && name != ".." && name.starts_with(mine)) seen.insert(std::move(name));
    }
    return errno == 0 ? 0 : -1;
  });
  if (listed < 0) return false;
  std::string wrong;
  for (const auto& name : names) wrong += seen.contains(name) ? "" : " -" + name;
  for (const auto& name : seen) wrong += names.contains(name) && seen.count(name) == 1 ? "" : " +" + name;
  return wrong.empty() || fails(Call::list, folder, "lists" + wrong);
}

bool CheckedCalls::bytes_are(int file, const Path& about, std::string_view expected, size_t offset, size_t size) {
  ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  std::string got(size + 1, '\0');  // one more: the end is part of what is compared
  auto count =
      make(Call::read, about, 0, [&] { return ::pread(file, got.data(), got.size(), static_cast<off_t>(offset)); });
  if (count < 0) return false;
  got.resize(static_cast<size_t>(count));
  return same(Call::read, about, got, expected.substr(std::min(offset, expected.size()), size + 1));
}

bool CheckedCalls::mapped_bytes_are(int file, const Path& about, std::string_view expected) {
  ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  std::string got;
  auto mapped = make(Call::map, about, 0, [&]() -> int64_t {
    void* at = ::mmap(nullptr, expected.size(), PROT_READ, MAP_SHARED, file, 0);
    if (at == MAP_FAILED) return -1;
    got.assign(static_cast<const char*>(at), expected.size());
    return ::munmap(at, expected.size());
  });
  return mapped == 0 && same(Call::map, about, got, expected);
}

bool CheckedCalls::file_is(const Path& path, std::string_view expected) {
  auto file = open(path, O_RDONLY);
  return file && bytes_are(file.get(), path, expected, 0, expected.size());
}

}  // namespace hitfs::testing
