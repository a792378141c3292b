#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include "fs/filesystem.h"

namespace hitfs::fs {

// What the operations get as the session's user data. It outlives the session.
struct FuseContext {
  Filesystem* filesystem = nullptr;
  // With OPEN and RELEASE: for layouts that complete by the last close. Else both are answered ENOSYS once, the kernel
  // stops asking, and every read is served from the inode number.
  bool open_and_release = false;
};

// The operations: each one turns a request into one call of Filesystem and its Reply into one answer.
[[nodiscard]] const fuse_lowlevel_ops& fuse_operations();

}  // namespace hitfs::fs
