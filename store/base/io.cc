#include "store/base/io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <vector>

#include "store/base/disk_trouble.h"

namespace hitfs::io {

namespace {

std::atomic<FaultInjector*> g_injector{nullptr};

template <typename Call>
auto retry_interrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

std::string describe(Op op, std::string_view what, const std::filesystem::path& path = {}) {
  std::string text = std::string(to_string(op)) + " " + std::string(what);
  if (!path.empty()) text += " " + path.string();
  return text;
}

// One system call as a step: `call` returns a negative number and sets errno when it fails.
template <typename Call>
Status system_step(Op op, std::string_view what, const std::filesystem::path& path, int fd, Call call) {
  FaultInjector::Step step{op, what, path.native(), fd};
  if (auto allowed = detail::before(step); !allowed) return allowed;
  bool succeeded = retry_interrupted(call) >= 0;
  int failure = errno;
  detail::after(step, succeeded);
  if (succeeded) return Ok{};
  auto error = system_error(describe(op, what, path), failure);
  if (is_disk_trouble(failure)) warn_of_disk(describe(op, what), error.message);
  return error;
}

Result<UniqueFd> open_existing(const std::filesystem::path& path, int flags) {
  int fd = retry_interrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC); });
  if (fd >= 0) return UniqueFd(fd);
  int failure = errno;
  auto error = system_error("open " + path.string(), failure);
  if (is_disk_trouble(failure)) warn_of_disk("open", error.message);
  return error;
}

}  // namespace

namespace detail {

Status before(const FaultInjector::Step& step) {
  auto* injector = g_injector.load(std::memory_order_acquire);
  return injector ? injector->before(step) : Status(Ok{});
}

void after(const FaultInjector::Step& step, bool succeeded) {
  if (auto* injector = g_injector.load(std::memory_order_acquire)) injector->after(step, succeeded);
}

}  // namespace detail

void install_fault_injector(FaultInjector* injector) { g_injector.store(injector, std::memory_order_release); }

std::string_view to_string(Op op) {
  switch (op) {
    case Op::create: return "create";
    case Op::write: return "write";
    case Op::truncate: return "truncate";
    case Op::fsync: return "fsync";
    case Op::rename: return "rename";
    case Op::link: return "link";
    case Op::unlink: return "unlink";
    case Op::mkdir: return "mkdir";
    case Op::transaction: return "transaction";
  }
  return "unknown";
}

Result<UniqueFd> create(const std::filesystem::path& path, std::string_view what, CreateOptions options) {
  UniqueFd fd;
  int flags = O_RDWR | O_CREAT | O_CLOEXEC | (options.exclusive ? O_EXCL : O_TRUNC);
  auto made = system_step(Op::create, what, path, -1, [&] {
    fd.reset(::open(path.c_str(), flags, options.mode));
    return fd.get();
  });
  if (!made) return std::move(made).error();
  return fd;
}

Result<UniqueFd> open_read(const std::filesystem::path& path) { return open_existing(path, O_RDONLY); }

Result<UniqueFd> open_write(const std::filesystem::path& path) { return open_existing(path, O_RDWR); }

Status write_all(int fd, Bytes bytes, std::string_view what) {
  return system_step(Op::write, what, {}, fd, [&]() -> ssize_t {
    while (!bytes.empty()) {
      ssize_t written = retry_interrupted([&] { return ::write(fd, bytes.data(), bytes.size()); });
      if (written < 0) return written;
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return 0;
  });
}

Status write_all_at(int fd, Bytes bytes, uint64_t offset, std::string_view what) {
  return system_step(Op::write, what, {}, fd, [&]() -> ssize_t {
    while (!bytes.empty()) {
      ssize_t written =
          retry_interrupted([&] { return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
      if (written < 0) return written;
      bytes = bytes.subspan(static_cast<size_t>(written));
      offset += static_cast<uint64_t>(written);
    }
    return 0;
  });
}

Result<size_t> read_at(int fd, std::span<std::byte> into, uint64_t offset) {
  size_t total = 0;
  while (total < into.size()) {
    ssize_t got = retry_interrupted(
        [&] { return ::pread(fd, into.data() + total, into.size() - total, static_cast<off_t>(offset + total)); });
    if (got < 0) return system_error("read", errno);
    if (got == 0) break;
    total += static_cast<size_t>(got);
  }
  return total;
}

Result<std::string> read_file(const std::filesystem::path& path, size_t at_most) {
  auto fd = open_read(path);
  if (!fd) return std::move(fd).error();
  struct stat info {};
  if (::fstat(fd->get(), &info) < 0) return system_error("stat " + path.string(), errno);
  if (S_ISDIR(info.st_mode)) return Error{Code::invalid_argument, path.string() + " is a directory"};
  std::string text;
  constexpr size_t kPiece = 64 << 10;
  while (text.size() <= at_most) {
    size_t before = text.size();
    text.resize(before + kPiece);
    auto got = read_at(fd->get(), std::as_writable_bytes(std::span(text)).subspan(before), before);
    if (!got) return in_context(path.string(), std::move(got).error());
    text.resize(before + *got);
    if (*got < kPiece) break;
  }
  if (text.size() > at_most) {
    return Error{Code::invalid_argument, path.string() + " is larger than " + std::to_string(at_most) + " bytes"};
  }
  return text;
}

Status truncate(int fd, uint64_t size, std::string_view what) {
  return system_step(Op::truncate, what, {}, fd, [&] { return ::ftruncate(fd, static_cast<off_t>(size)); });
}

Status sync_data(int fd, std::string_view what) {
  return system_step(Op::fsync, what, {}, fd, [&] { return ::fdatasync(fd); });
}

Status sync_directory(const std::filesystem::path& path, std::string_view what) {
  auto fd = open_existing(path, O_RDONLY | O_DIRECTORY);
  if (!fd) return std::move(fd).error();
  return system_step(Op::fsync, what, path, fd->get(), [&] { return ::fsync(fd->get()); });
}

Status sync_filesystem(int fd, std::string_view what) {
  return system_step(Op::fsync, what, {}, fd, [&] { return ::syncfs(fd); });
}

Status rename(const std::filesystem::path& from, const std::filesystem::path& to, std::string_view what) {
  return system_step(Op::rename, what, to, -1, [&] { return ::rename(from.c_str(), to.c_str()); });
}

Status link(const std::filesystem::path& from, const std::filesystem::path& to, std::string_view what) {
  return system_step(Op::link, what, to, -1, [&] { return ::link(from.c_str(), to.c_str()); });
}

Status unlink(const std::filesystem::path& path, std::string_view what) {
  return system_step(Op::unlink, what, path, -1, [&] { return ::unlink(path.c_str()); });
}

Status make_directories(const std::filesystem::path& path, mode_t mode, std::string_view what) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return Ok{};
    return Error{Code::invalid_argument, path.string() + " exists and is no directory"};
  }
  if (path.has_parent_path() && path.parent_path() != path) {
    if (auto parent = make_directories(path.parent_path(), mode, what); !parent) return parent;
  }
  return system_step(Op::mkdir, what, path, -1, [&] {
    int made = ::mkdir(path.c_str(), mode);
    return made < 0 && errno == EEXIST ? 0 : made;
  });
}

Status remove_tree(const std::filesystem::path& path, std::string_view what) {
  return system_step(Op::unlink, what, path, -1, [&] {
    std::error_code failure;
    std::filesystem::remove_all(path, failure);
    errno = failure.value();
    return failure ? -1 : 0;
  });
}

Status replace_file(const std::filesystem::path& path, Bytes bytes, std::string_view what, mode_t mode) {
  auto aside = path;
  aside += ".new";
  auto fd = create(aside, what, {.mode = mode, .exclusive = false});
  if (!fd) return std::move(fd).error();
  if (auto written = write_all(fd->get(), bytes, what); !written) return written;
  if (auto synced = sync_data(fd->get(), what); !synced) return synced;
  if (auto renamed = rename(aside, path, what); !renamed) return renamed;
  return sync_directory(path.has_parent_path() ? path.parent_path() : ".", what);
}

}  // namespace hitfs::io
