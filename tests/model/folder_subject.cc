#include "tests/model/folder_subject.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace hitfs::testing {

namespace {

Seen ended(long result) { return result < 0 ? Seen::failed(errno) : Seen{}; }

Seen seen_of(const struct stat& info) {
  Seen seen;
  seen.type = S_ISDIR(info.st_mode) ? FileType::directory : S_ISLNK(info.st_mode) ? FileType::symlink : FileType::file;
  seen.mode = static_cast<uint16_t>(info.st_mode & 07777);
  seen.mtime_ns = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  return seen;
}

Seen contents(int fd, off_t size) {
  Seen seen;
  seen.bytes.resize(static_cast<size_t>(size) + 1);
  auto got = ::pread(fd, seen.bytes.data(), seen.bytes.size(), 0);
  if (got < 0) return ended(-1);
  if (got != size) return Seen::failed(EOVERFLOW);
  seen.bytes.resize(static_cast<size_t>(got));
  return seen;
}

Seen written(int fd, const Operation& operation) {
  auto bytes = operation.bytes();
  bool append = operation.act == Act::append;
  auto wrote = append ? ::write(fd, bytes.data(), bytes.size())
                      : ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(operation.offset));
  return wrote >= 0 && wrote != static_cast<ssize_t>(bytes.size()) ? Seen::failed(EOVERFLOW) : ended(wrote);
}

}  // namespace

Seen FolderSubject::apply(const Operation& operation) {
  if (operation.act == Act::list) return list(at(operation.path));
  if (operation.act == Act::look) return look(at(operation.path));
  if (operation.act == Act::sync_root) return ended(sync_root());
  if (operation.act >= Act::restart) return around(operation, root_);
  if (operation.act >= Act::open) return of_slot(operation);
  bool of_bytes = operation.act == Act::write || operation.act == Act::append || operation.act == Act::sync_file;
  return of_bytes ? of_contents(operation) : of_names(operation);
}

Seen FolderSubject::around(const Operation&, std::filesystem::path&) { return {}; }

int FolderSubject::sync_root() const {
  UniqueFd root(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return ::fsync(root.get());
}

Seen FolderSubject::of_names(const Operation& operation) {
  auto path = at(operation.path);
  const timespec time{operation.time_ns / 1'000'000'000, operation.time_ns % 1'000'000'000};
  const timespec times[2] = {time, time};
  unsigned how = operation.how == RenameHow::no_replace ? RENAME_NOREPLACE
                 : operation.how == RenameHow::exchange ? RENAME_EXCHANGE
                                                        : 0;
  long result = 0;
  switch (operation.act) {
    case Act::create:
      result = UniqueFd(::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, operation.mode)).get();
      break;
    case Act::make_directory: result = ::mkdir(path.c_str(), operation.mode); break;
    case Act::make_symlink: result = ::symlink(kLinkTarget, path.c_str()); break;
    case Act::truncate: return ended(::truncate(path.c_str(), static_cast<off_t>(operation.size)));
    case Act::set_mode: return ended(::chmod(path.c_str(), operation.mode));
    case Act::set_time: return ended(::utimensat(AT_FDCWD, path.c_str(), times, 0));
    case Act::unlink: return ended(::unlink(path.c_str()));
    case Act::remove_directory: return ended(::rmdir(path.c_str()));
    default: return ended(::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, at(operation.to).c_str(), how));
  }
  if (result < 0) return ended(result);
  struct stat info {};
  return ::lstat(path.c_str(), &info) < 0 ? ended(-1) : seen_of(info);
}

Seen FolderSubject::of_contents(const Operation& operation) {
  int flags = O_WRONLY | O_CLOEXEC | (operation.act == Act::append ? O_APPEND : 0);
  UniqueFd file(::open(at(operation.path).c_str(), flags));
  if (!file) return ended(-1);
  return operation.act == Act::sync_file ? ended(::fsync(file.get())) : written(file.get(), operation);
}

Seen FolderSubject::list(const std::string& path) const {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return ended(-1);
  Seen seen;
  seen.type = FileType::directory;
  while (const dirent* entry = ::readdir(directory)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") seen.names.push_back(std::move(name));
  }
  ::closedir(directory);
  std::sort(seen.names.begin(), seen.names.end());
  return seen;
}

Seen FolderSubject::look(const std::string& path) const {
  struct stat info {};
  if (::lstat(path.c_str(), &info) < 0) return ended(-1);
  auto seen = seen_of(info);
  if (seen.type == FileType::directory) return seen;
  if (seen.type == FileType::symlink) {
    std::string target(256, '\0');
    auto got = ::readlink(path.c_str(), target.data(), target.size());
    if (got < 0) return ended(-1);
    seen.bytes = target.substr(0, static_cast<size_t>(got));
    return seen;
  }
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return ended(-1);
  auto read = contents(file.get(), info.st_size);
  seen.error = read.error;
  seen.bytes = read.bytes;
  return seen;
}

Seen FolderSubject::of_slot(const Operation& operation) {
  auto& slot = slots_[operation.slot];
  if (operation.act == Act::open) {
    UniqueFd file(::open(at(operation.path).c_str(), O_RDWR | O_CLOEXEC));
    if (!file) return ended(-1);
    slot = std::move(file);
    return {};
  }
  if (!slot) return Seen::failed(EBADF);
  if (operation.act == Act::write_open) return written(slot.get(), operation);
  if (operation.act == Act::truncate_open) return ended(::ftruncate(slot.get(), static_cast<off_t>(operation.size)));
  if (operation.act == Act::look_open) {
    struct stat info {};
    if (::fstat(slot.get(), &info) < 0) return ended(-1);
    auto seen = seen_of(info);
    auto read = contents(slot.get(), info.st_size);
    seen.error = read.error;
    seen.bytes = read.bytes;
    return seen;
  }
  slot.reset();
  return {};
}

}  // namespace hitfs::testing
