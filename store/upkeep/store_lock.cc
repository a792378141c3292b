#include "store/upkeep/store_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <string>
#include <string_view>

#include "store/base/io.h"

namespace hitfs {

namespace {

struct Filesystem {
  uint64_t type;
  std::string_view name;
};

// From linux/magic.h and the file systems' own sources; virtiofs and every fuse.* share one number.
constexpr std::array kRefused = {
    Filesystem{0x6969, "NFS"},      Filesystem{0xFF534D42, "CIFS"},   Filesystem{0xFE534D42, "SMB"},
    Filesystem{0x517B, "SMB"},      Filesystem{0x01021997, "9p"},     Filesystem{0x65735546, "FUSE or virtiofs"},
    Filesystem{0x00C36400, "Ceph"}, Filesystem{0x5346414F, "AFS"},    Filesystem{0x0BD00BD0, "Lustre"},
    Filesystem{0x73757245, "Coda"}, Filesystem{0x786F4256, "vboxsf"},
};

// Who holds the lock, as far as its file says.
std::string holder(const StorePaths& paths) {
  auto text = io::read_file(paths.daemon_lock(), 64);
  if (!text) return "";
  std::string pid;
  for (char c : *text) {
    if (!std::isdigit(static_cast<unsigned char>(c))) break;
    pid += c;
  }
  return pid.empty() ? "" : " (process " + pid + ")";
}

}  // namespace

Result<uint64_t> filesystem_type_of(const std::filesystem::path& folder) {
  std::error_code failure;
  auto existing = std::filesystem::absolute(folder, failure);
  struct statfs info {};
  while (::statfs(existing.c_str(), &info) < 0) {
    if (errno != ENOENT || !existing.has_parent_path() || existing.parent_path() == existing) {
      return system_error("statfs " + existing.string(), errno);
    }
    existing = existing.parent_path();
  }
  // f_type is signed; the magic numbers are 32 bits.
  return static_cast<uint64_t>(info.f_type) & 0xFFFFFFFFu;
}

Status refuse_network_filesystem(const std::filesystem::path& root,
                                 const std::function<Result<uint64_t>(const std::filesystem::path&)>& type_of) {
  auto type = type_of(root);
  if (!type) return std::move(type).error();
  auto found = std::find_if(kRefused.begin(), kRefused.end(), [&](const Filesystem& fs) { return fs.type == *type; });
  if (found == kRefused.end()) return Ok{};
  return Error{Code::invalid_argument, "the store " + root.string() + " lies on a network file system (" +
                                           std::string(found->name) +
                                           "), where it would not be safe; choose a local folder with --store"};
}

Result<UniqueFd> lock_store(const StorePaths& paths) {
  UniqueFd lock;
  auto opened = io::step(io::Op::create, "daemon.lock", [&]() -> Status {
    lock.reset(::open(paths.daemon_lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) return system_error("open " + paths.daemon_lock().string(), errno);
    return Ok{};
  });
  if (!opened) return std::move(opened).error();
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return system_error("lock " + paths.daemon_lock().string(), errno);
    return Error{Code::unavailable, "the store " + paths.root.string() + " is in use by another hitfs daemon" +
                                        holder(paths) + "; end it with `hitfs stop`, or choose another --store"};
  }
  auto pid = std::to_string(::getpid()) + "\n";
  if (auto cleared = io::truncate(lock.get(), 0, "daemon.lock"); !cleared) return std::move(cleared).error();
  if (auto told = io::write_all_at(lock.get(), io::as_bytes(pid), 0, "daemon.lock"); !told)
    return std::move(told).error();
  return lock;
}

}  // namespace hitfs
