#pragma once

#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs::fs {

// fusermount3 is the setuid helper through which a user mounts. Each call runs it and waits for it, at most until the
// deadline; its own words become the error.
namespace fusermount {

// Mounts and gives the open /dev/fuse, which the helper passes over a socket (the _FUSE_COMMFD protocol of libfuse).
Result<UniqueFd> mount(const std::string& mount_point, const std::string& options, const Deadline& until);

// Takes the mount at `mount_point` away, lazily.
Status unmount(const std::string& mount_point, const Deadline& until);

}  // namespace fusermount

}  // namespace hitfs::fs
