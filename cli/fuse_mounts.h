#pragma once

#include <memory>

#include "cli/supervisor/mount_driver.h"
#include "store/base/json.h"
#include "store/store_paths.h"

// The supervisor's mounts through FUSE (fs/). Built without FUSE there are none.
namespace hitfs {

// nullptr in a build without FUSE.
[[nodiscard]] std::unique_ptr<MountDriver> make_fuse_mounts(const StorePaths& store);

// The process of a worker: `options` as MountDriver::worker_options() made them; returns its exit code.
int run_fuse_worker(const Json& options, int fuse_fd, int slots_fd, int ready_fd);

}  // namespace hitfs
