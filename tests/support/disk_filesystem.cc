#include "tests/support/disk_filesystem.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <thread>

#include "store/base/unique_fd.h"

namespace hitfs::testing {

using namespace hitfs::fs;

namespace {

constexpr Nanoseconds kLong = std::chrono::hours(24);
constexpr Number kFirst = Number{1} << 33;  // new numbers come from the request's unique, so they are the same again

FsError error_of(int failure) {
  switch (failure) {
    case ENOENT: return FsError::not_found;
    case EEXIST: return FsError::exists;
    case ENOTEMPTY: return FsError::not_empty;
    case ENOSPC: return FsError::no_space;
    default: return FsError::io;
  }
}

FileType type_of(mode_t mode) {
  if (S_ISDIR(mode)) return FileType::directory;
  return S_ISLNK(mode) ? FileType::symlink : FileType::file;
}

int64_t ns_of(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }
timespec time_of(std::optional<int64_t> ns) {
  if (!ns) return {0, UTIME_OMIT};
  return {static_cast<time_t>(*ns / 1'000'000'000), static_cast<long>(*ns % 1'000'000'000)};
}

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

}  // namespace

DiskFilesystem::DiskFilesystem(Options options, References& references)
    : options_(std::move(options)), references_(&references) {
  ::mkdir(node(kRootNumber).c_str(), 0755);
}

DiskFilesystem::~DiskFilesystem() { release(); }

std::filesystem::path DiskFilesystem::link(Number parent, std::string_view name) const {
  return node(parent) / std::string(name);
}

Number DiskFilesystem::target(const std::filesystem::path& link) const {
  std::error_code failure;
  auto text = std::filesystem::read_symlink(link, failure);
  return failure ? 0 : std::stoull(text.string());
}

Result<NodeReply> DiskFilesystem::describe(Number number) const {
  struct stat info {};
  if (::lstat(node(number).c_str(), &info) < 0) return system_error("lstat", errno);
  NodeReply reply;
  auto& about = reply.attributes;
  about.number = number;
  about.type = type_of(info.st_mode);
  about.mode = static_cast<uint16_t>(info.st_mode & 07777);
  about.size = about.type == FileType::directory ? 0 : static_cast<uint64_t>(info.st_size);
  about.mtime_ns = ns_of(info.st_mtim);
  about.ctime_ns = ns_of(info.st_ctim);
  about.atime_ns = ns_of(info.st_atim);
  about.uid = ::geteuid();
  about.gid = ::getegid();
  reply.entry_timeout = kLong;
  reply.attribute_timeout = about.type == FileType::directory ? options_.directory_timeout : kLong;
  return reply;
}

void DiskFilesystem::misbehave(const Caller& caller, std::string_view name, Reply<NodeReply>& reply) {
  if (name.starts_with("crash-")) std::abort();
  if (name.starts_with("throw-")) throw std::runtime_error("a test asked for it");
  while (name.starts_with("stall-")) ::pause();
  std::lock_guard lock(parked_mutex_);
  if (name.starts_with("late-")) {
    late_.emplace_back(
        [late = std::make_shared<Reply<NodeReply>>(std::move(reply))] { late->fail(FsError::not_found); });
    return;
  }
  parked_.emplace(caller.unique, std::move(reply));
}

void DiskFilesystem::lookup(const Caller& caller, Number parent, std::string_view name, Reply<NodeReply> reply) {
  for (const char* special : {"crash-", "throw-", "stall-", "late-", "parked-"}) {
    if (name.starts_with(special)) return misbehave(caller, name, reply);
  }
  Number number = 0;
  {
    std::lock_guard lock(mutex_);
    number = target(link(parent, name));
  }
  if (number == 0) return reply.fail(FsError::not_found);
  auto found = describe(number);
  if (!found) return reply.fail(FsError::io);
  references_->add(number, 1);
  reply.send(*found);
}

void DiskFilesystem::forget(Number number, uint64_t count) { references_->drop(number, count); }

void DiskFilesystem::release() {
  std::map<uint64_t, Reply<NodeReply>> parked;
  std::vector<std::jthread> late;  // joined at the end
  {
    std::lock_guard lock(parked_mutex_);
    parked.swap(parked_);
    late.swap(late_);
  }
  for (auto& [unique, reply] : parked) reply.fail(FsError::not_found);
}

void DiskFilesystem::interrupt(uint64_t unique) {
  std::unique_lock lock(parked_mutex_);
  auto found = parked_.extract(unique);
  lock.unlock();
  if (found) found.mapped().fail(FsError::interrupted);
}

void DiskFilesystem::get_attributes(const Caller&, Number number, Reply<AttributesReply> reply) {
  auto found = describe(number);
  if (!found) return reply.fail(FsError::io);
  reply.send({found->attributes, found->attribute_timeout});
}

void DiskFilesystem::set_attributes(const Caller& caller, Number number, const AttributeChange& change,
                                    Reply<AttributesReply> reply) {
  auto path = node(number);
  if (change.size && ::truncate(path.c_str(), static_cast<off_t>(*change.size)) < 0) {
    return reply.fail(error_of(errno));
  }
  if (change.mode && ::chmod(path.c_str(), *change.mode) < 0) return reply.fail(error_of(errno));
  timespec times[2] = {time_of(change.atime_ns), time_of(change.mtime_ns)};
  if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) < 0) return reply.fail(error_of(errno));
  get_attributes(caller, number, std::move(reply));
}

void DiskFilesystem::read_link(const Caller&, Number number, Reply<std::string> reply) {
  std::error_code failure;
  auto text = std::filesystem::read_symlink(node(number), failure);
  if (failure) return reply.fail(FsError::io);
  reply.send(text.string());
}

void DiskFilesystem::add_name(Number number, Number parent, std::string_view name, Reply<NodeReply>& reply) {
  auto place = link(parent, name);
  int failure = 0;
  {
    std::lock_guard lock(mutex_);
    if (::symlink(std::to_string(number).c_str(), place.c_str()) < 0) failure = errno;
    if (failure == EEXIST && target(place) == number) failure = 0;  // a killed worker did it
  }
  if (failure != 0) {
    std::filesystem::remove_all(node(number));
    return reply.fail(error_of(failure));
  }
  auto made = describe(number);
  if (!made) return reply.fail(FsError::io);
  references_->add(number, 1);
  reply.send(*made);
}

void DiskFilesystem::create(const Caller& caller, Number parent, std::string_view name, uint16_t mode,
                            Reply<NodeReply> reply) {
  Number number = kFirst + caller.unique;
  UniqueFd file(::open(node(number).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file || ::fchmod(file.get(), mode) < 0) return reply.fail(error_of(errno));
  add_name(number, parent, name, reply);
}

void DiskFilesystem::make_directory(const Caller& caller, Number parent, std::string_view name, uint16_t mode,
                                    Reply<NodeReply> reply) {
  Number number = kFirst + caller.unique;
  if (::mkdir(node(number).c_str(), mode) < 0 && errno != EEXIST) return reply.fail(error_of(errno));
  add_name(number, parent, name, reply);
}

void DiskFilesystem::make_symlink(const Caller& caller, Number parent, std::string_view name, std::string_view text,
                                  Reply<NodeReply> reply) {
  Number number = kFirst + caller.unique;
  if (::symlink(std::string(text).c_str(), node(number).c_str()) < 0 && errno != EEXIST) {
    return reply.fail(error_of(errno));
  }
  add_name(number, parent, name, reply);
}

void DiskFilesystem::take_name(const Caller& caller, Number parent, std::string_view name, bool directory,
                               Reply<Ok>& reply) {
  auto place = link(parent, name);
  auto trash = options_.folder / ("trash-" + std::to_string(caller.unique));
  int failure = 0;
  {
    std::lock_guard lock(mutex_);
    bool done_before = std::filesystem::is_symlink(trash);
    Number number = target(place);
    if (!done_before && directory && number != 0 && !names_in(node(number)).empty()) failure = ENOTEMPTY;
    if (!done_before && failure == 0 && ::rename(place.c_str(), trash.c_str()) < 0) failure = errno;
  }
  if (failure != 0) return reply.fail(error_of(failure));
  reply.send({});
}

void DiskFilesystem::unlink(const Caller& caller, Number parent, std::string_view name, Reply<Ok> reply) {
  take_name(caller, parent, name, false, reply);
}

void DiskFilesystem::remove_directory(const Caller& caller, Number parent, std::string_view name, Reply<Ok> reply) {
  take_name(caller, parent, name, true, reply);
}

void DiskFilesystem::rename(const Caller& caller, Number parent, std::string_view name, Number new_parent,
                            std::string_view new_name, RenameMode mode, Reply<Ok> reply) {
  auto from = link(parent, name);
  auto to = link(new_parent, new_name);
  auto mark = options_.folder / ("rename-" + std::to_string(caller.unique));
  int failure = 0;
  {
    std::lock_guard lock(mutex_);
    Number moving = target(from);
    Number begun = target(mark);
    if (begun != 0 && begun != moving) {
      moving = 0;  // a killed worker did it
    } else if (moving == 0) {
      failure = ENOENT;
    } else if (mode == RenameMode::no_replace && target(to) != 0) {
      failure = EEXIST;
    } else if (::symlink(std::to_string(moving).c_str(), mark.c_str()) < 0 && errno != EEXIST) {
      failure = errno;
    } else if (::rename(from.c_str(), to.c_str()) < 0) {
      failure = errno;
    }
  }
  if (failure != 0) return reply.fail(error_of(failure));
  reply.send({});
}

void DiskFilesystem::read(const Caller&, Number number, size_t size, uint64_t offset,
                          Reply<std::span<const std::byte>> reply) {
  UniqueFd file(::open(node(number).c_str(), O_RDONLY | O_CLOEXEC));
  std::vector<std::byte> bytes(size);
  ssize_t got = file ? ::pread(file.get(), bytes.data(), size, static_cast<off_t>(offset)) : -1;
  if (got < 0) return reply.fail(FsError::io);
  reply.send(std::span(bytes).first(static_cast<size_t>(got)));
}

void DiskFilesystem::write(const Caller&, Number number, std::span<const std::byte> bytes, uint64_t offset,
                           Reply<size_t> reply) {
  UniqueFd file(::open(node(number).c_str(), O_WRONLY | O_CLOEXEC));
  ssize_t put = file ? ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) : -1;
  if (put < 0) return reply.fail(error_of(errno));
  reply.send(static_cast<size_t>(put));
}

void DiskFilesystem::sync_file(const Caller&, Number, Reply<Ok> reply) { reply.send({}); }
void DiskFilesystem::sync_directory(const Caller&, Number, Reply<Ok> reply) { reply.send({}); }

void DiskFilesystem::read_directory(const Caller&, Number number, uint64_t offset, DirectoryFiller& filler,
                                    Reply<Ok> reply) {
  std::set<std::string> names;
  {
    std::lock_guard lock(mutex_);
    names = names_in(node(number));
  }
  names.insert({".", ".."});
  uint64_t place = 0;
  for (const auto& name : names) {
    if (place++ < offset) continue;
    bool dot = name == "." || name == "..";
    Number child = dot ? number : target(link(number, name));
    auto about = describe(child);
    if (child == 0 || !about) continue;  // went away meanwhile
    if (!filler.add(name, *about, place)) break;
    if (filler.counts_references() && !dot) references_->add(child, 1);
  }
  reply.send({});
}

void DiskFilesystem::space(const Caller&, Reply<SpaceReply> reply) {
  SpaceReply space;
  space.blocks = space.free_blocks = uint64_t{1} << 38;
  space.files = space.free_files = uint64_t{1} << 40;
  reply.send(space);
}

}  // namespace hitfs::testing
