#pragma once

#include <string>

#include "store/base/file_lock.h"
#include "store/base/result.h"
#include "store/store_paths.h"

// Which mounts of a store exist: the supervisor holds a lock on staging/<mount>/mount.lock for as long as that mount
// lives. The daemon asks when it wants to know whether anybody can still refer to a retired entry.
namespace hitfs {

// For the supervisor; makes the folder when it is missing. `unavailable` when a mount of that name lives already.
Result<FileLock> hold_mount_lock(const StorePaths& store, const std::string& mount_name);

[[nodiscard]] bool mount_lives(const StorePaths& store, const std::string& mount_name);

}  // namespace hitfs
