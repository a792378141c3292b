#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include "fs/filesystem.h"

namespace hitfs::fs {

// What the operations get as the session's user data. It outlives the session.
struct FuseContext {
  Filesystem* filesystem = nullptr;
};

// The operations: each one turns a request into one call of Filesystem and its Reply into one answer.
[[nodiscard]] const fuse_lowlevel_ops& fuse_operations();

}  // namespace hitfs::fs
