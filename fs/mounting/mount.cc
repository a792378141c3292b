#include "fs/mounting/mount.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <system_error>

#include "fs/mounting/fusermount.h"
#include "fs/mounting/mount_table.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr const char* kType = "fuse.hitfs";
constexpr Milliseconds kPatience{10'000};  // for fusermount3
constexpr Milliseconds kAlive{2000};       // a mount that is served answers faster

Error wrong(const std::string& what) { return Error{Code::invalid_argument, what}; }

// The absolute path without links, found without asking the mount that may lie at its end.
Result<std::filesystem::path> canonical_mount_point(const std::filesystem::path& given) {
  std::error_code failure;
  auto absolute = std::filesystem::absolute(given, failure).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();
  if (absolute == absolute.root_path()) return wrong("/ is no mount point: name a directory of its own");
  auto parent = std::filesystem::canonical(absolute.parent_path(), failure);
  if (failure) return wrong(absolute.parent_path().string() + " does not exist: create the mount point first");
  auto place = parent / absolute.filename();
  auto mounted = find_mount(place);
  if (!mounted) return std::move(mounted).error();
  if (mounted->has_value()) return place;
  auto whole = std::filesystem::canonical(place, failure);
  if (failure) return wrong(place.string() + " does not exist: create the directory first");
  return whole;
}

enum class Answer { served, dead, silent };

// The asking process: only system calls between fork and exit, and no descriptor of ours, because it may hang for long:
// a connection or a pipe that it held would live as long.
// statfs() and not stat(): it is never answered from what the kernel remembers.
[[noreturn]] void look_and_tell(const char* path, int answer) {
  if (answer > 0) ::close_range(0, static_cast<unsigned>(answer) - 1, 0);
  ::close_range(static_cast<unsigned>(answer) + 1, ~0U, 0);
  struct statfs info {};
  char byte = ::statfs(path, &info) == 0 || (errno != ENOTCONN && errno != ECONNABORTED) ? 's' : 'd';
  ::_exit(::write(answer, &byte, 1) == 1 ? 0 : 1);
}

// Asks a mount whether anybody serves it. In a process of its own: the call may hang where a server hangs. That is a
// grandchild, so that a hung one is left behind without becoming our zombie.
Answer ask(const std::filesystem::path& mount_point) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return Answer::silent;
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const char* path = mount_point.c_str();
  pid_t child = ::fork();
  if (child == 0) {
    if (::fork() == 0) look_and_tell(path, theirs.get());
    ::_exit(0);
  }
  if (child < 0) return Answer::silent;
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  theirs.reset();
  pollfd readable{ours.get(), POLLIN, 0};
  auto until = Deadline::after(kAlive);
  while (::poll(&readable, 1, static_cast<int>(until.left().count())) < 0 && errno == EINTR) {
  }
  char byte = 0;
  if ((readable.revents & POLLIN) == 0 || ::read(ours.get(), &byte, 1) != 1) return Answer::silent;
  return byte == 'd' ? Answer::dead : Answer::served;
}

Status take_away(const std::filesystem::path& mount_point) {
  if (::geteuid() != 0) return fusermount::unmount(mount_point.string(), Deadline::after(kPatience));
  if (::umount2(mount_point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL) {
    return system_error("unmount " + mount_point.string(), errno);
  }
  return Ok{};
}

// A dead mount of anybody's FUSE is in the way and of no use to anyone. A living one of ours is not mounted over.
Status clear_place(const std::filesystem::path& mount_point) {
  constexpr int kMostLayers = 16;
  for (int layer = 0; layer < kMostLayers; ++layer) {
    auto mounted = find_mount(mount_point);
    if (!mounted) return std::move(mounted).error();
    if (!mounted->has_value() || !(*mounted)->type.starts_with("fuse")) return Ok{};
    auto answer = ask(mount_point);
    if (answer == Answer::silent) {
      return Error{Code::unavailable, "a mount at " + mount_point.string() +
                                          " does not answer: end the program that serves it, or run fusermount3 -uz " +
                                          mount_point.string()};
    }
    if (answer == Answer::served && (*mounted)->type != kType) return Ok{};
    if (answer == Answer::served) {
      return wrong("hitfs is mounted at " + mount_point.string() + " already: hitfs unmount it first");
    }
    kLog.info("dead_mount_removed path={}", mount_point.string());
    if (auto away = take_away(mount_point); !away) return in_context("remove the dead mount", std::move(away).error());
  }
  return Error{Code::internal, "too many dead mounts at " + mount_point.string()};
}

Status check_place(const std::filesystem::path& mount_point, bool force) {
  std::error_code failure;
  if (!std::filesystem::is_directory(mount_point, failure)) {
    return wrong(mount_point.string() + " is no directory: name a directory to mount at");
  }
  if (force) return Ok{};
  bool empty = std::filesystem::is_empty(mount_point, failure);
  if (failure) return in_context("look into " + mount_point.string(), system_error("open", failure.value()));
  if (empty) return Ok{};
  return wrong(mount_point.string() + " is not empty: name an empty directory, or use --force to hide what is in it");
}

bool users_may_allow_other() {
  std::ifstream file("/etc/fuse.conf");
  for (std::string line; std::getline(file, line);) {
    auto first = line.find_first_not_of(" \t");
    auto last = line.find_last_not_of(" \t\r");
    if (first != std::string::npos && line.substr(first, last - first + 1) == "user_allow_other") return true;
  }
  return false;
}

Error no_device(int failure) {
  if (failure == EACCES || failure == EPERM) {
    return Error{Code::unavailable, "no permission to open /dev/fuse: mount as root, or ask for mode 0666 on it"};
  }
  return Error{Code::unavailable,
               "/dev/fuse is not there: load the module fuse, or start the container with --device /dev/fuse"};
}

Result<UniqueFd> mount_as_root(const std::filesystem::path& mount_point, const MountOptions& wanted) {
  UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device) return no_device(errno);
  std::string options =
      "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=0,group_id=0,default_permissions";
  if (wanted.allow_other) options += ",allow_other";
  if (::mount(wanted.source.c_str(), mount_point.c_str(), kType, MS_NOSUID | MS_NODEV, options.c_str()) == 0)
    return device;
  if (errno == EPERM) {
    return Error{Code::permission_denied,
                 "not allowed to mount: a container needs --cap-add SYS_ADMIN --device /dev/fuse"};
  }
  if (errno == ENODEV) return no_device(ENOENT);
  return system_error("mount " + mount_point.string(), errno);
}

// Options are separated by commas, which a path may hold.
std::string escape_option(const std::string& value) {
  std::string escaped;
  for (char c : value) {
    if (c == ',' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

Result<UniqueFd> mount_as_user(const std::filesystem::path& mount_point, const MountOptions& wanted) {
  if (::access("/dev/fuse", R_OK | W_OK) != 0) return no_device(errno);
  if (wanted.allow_other && !users_may_allow_other()) {
    return Error{Code::permission_denied,
                 "--allow-other needs the line user_allow_other in /etc/fuse.conf: add it, or mount as root"};
  }
  std::string options = "fsname=" + escape_option(wanted.source) + ",subtype=hitfs,nosuid,nodev,default_permissions";
  if (wanted.allow_other) options += ",allow_other";
  return fusermount::mount(mount_point.string(), options, Deadline::after(kPatience));
}

}  // namespace

Result<Mount> Mount::mount(const MountOptions& options) {
  auto place = canonical_mount_point(options.mount_point);
  if (!place) return std::move(place).error();
  if (auto cleared = clear_place(*place); !cleared) return std::move(cleared).error();
  if (auto checked = check_place(*place, options.force); !checked) return std::move(checked).error();
  auto device = ::geteuid() == 0 ? mount_as_root(*place, options) : mount_as_user(*place, options);
  if (!device) return in_context("mount " + place->string(), std::move(device).error());
  auto mounted = find_mount(*place);
  std::string number = mounted && mounted->has_value() ? (*mounted)->device : "";
  kLog.info("mounted path={} allow_other={}", place->string(), options.allow_other);
  return Mount(std::move(*place), std::move(*device), std::move(number));
}

Result<Mount> Mount::adopt(const std::filesystem::path& mount_point, UniqueFd device) {
  auto there = find_mount(mount_point);
  if (!there) return std::move(there).error();
  pollfd connection{device.get(), 0, 0};
  bool alive = device && ::poll(&connection, 1, 0) == 0;
  if (!alive || !there->has_value() || (*there)->type != kType) {
    return Error{Code::not_found, "the mount at " + mount_point.string() + " is not there any more"};
  }
  kLog.info("mount_adopted path={}", mount_point.string());
  return Mount(mount_point, std::move(device), (*there)->device);
}

void Mount::swap(Mount& other) noexcept {
  std::swap(mount_point_, other.mount_point_);
  std::swap(device_, other.device_);
  std::swap(device_number_, other.device_number_);
  std::swap(mounted_, other.mounted_);
}

Mount& Mount::operator=(Mount&& other) noexcept {
  Mount taken(std::move(other));
  swap(taken);
  return *this;
}

Mount::~Mount() {
  if (auto done = unmount(); !done) kLog.warn("unmount_failed error=\"{}\"", done.error().message);
}

// Somebody else may have unmounted it, and mounted something else at its place: that is not ours to take away. A device
// number is unique only while its mount lives, so a dead one at our place with our number is taken for ours.
bool Mount::lies_at_its_place() const {
  auto there = find_mount(mount_point_);
  bool same = there && there->has_value() && (*there)->device == device_number_ && (*there)->type.starts_with("fuse");
  if (!same) return false;
  if (!device_) return ask(mount_point_) == Answer::dead;
  pollfd connection{device_.get(), 0, 0};
  return ::poll(&connection, 1, 0) == 0 || (connection.revents & POLLERR) == 0;
}

Status Mount::unmount() {
  if (!mounted_) return Ok{};
  Status done = lies_at_its_place() ? take_away(mount_point_) : Status(Ok{});
  mounted_ = !done.has_value();
  device_.reset();
  return done;
}

void Mount::abort() { device_.reset(); }

}  // namespace hitfs::fs
