#include "store/mount_lock.h"

#include "store/base/io.h"

namespace hitfs {

namespace {

std::filesystem::path lock_of(const StorePaths& store, const std::string& mount_name) {
  return store.staging(mount_name) / "mount.lock";
}

}  // namespace

Result<FileLock> hold_mount_lock(const StorePaths& store, const std::string& mount_name) {
  if (auto made = io::make_directories(store.staging(mount_name), 0700, "staging"); !made) {
    return std::move(made).error();
  }
  auto lock = FileLock::acquire(lock_of(store, mount_name));
  if (!lock && lock.error().code == Code::unavailable) {
    return Error{Code::unavailable, "a mount named \"" + mount_name + "\" lives already; choose another --name"};
  }
  return lock;
}

bool mount_lives(const StorePaths& store, const std::string& mount_name) {
  return is_locked(lock_of(store, mount_name));
}

}  // namespace hitfs
