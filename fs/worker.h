#pragma once

#include <sys/types.h>

#include <string>

#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/layout.h"
#include "store/store_paths.h"

namespace hitfs::fs {

// What a mount worker is told: JSON for what is not a descriptor; the descriptors are inherited. A value.
struct WorkerOptions {
  StorePaths store;
  std::string mount_name;  // names the staging folder, and the front towards the daemon
  LayoutOptions layout;
  std::string scope;
  uid_t uid = 0;  // owner of everything that is shown
  gid_t gid = 0;
  Milliseconds lookup_patience{2000};
  std::string mount_point;  // never touched: a worker does not look into its own mount

  int fuse_fd = -1;   // the connection
  int slots_fd = -1;  // SlotMemory
  int ready_fd = -1;  // gets one byte when the mount is served, then it is closed; -1 for none

  [[nodiscard]] Json to_json() const;
  // `invalid_argument` names the missing part. Descriptors are left at -1.
  static Result<WorkerOptions> from_json(const Json& json);
};

// Serves one mount until it is unmounted or SIGTERM comes, which ends the worker without ending the mount. Returns the
// exit code of the process: 0, or 1 when it cannot serve (the log says why, and what to do). The main function of a
// process of its own, called while that has one thread; SIGTERM ends the process in here.
//
// Threads, besides this one, which waits for SIGTERM and the end of the mount: 4 readers (fs/edge/fuse_server.h), one
// that feeds the notify process (fs/kernel_notifier.h), one in the long poll for events and one that reports to the
// daemon (fs/daemon_link.h), and those of DaemonClient and Filesystem.
int run_mount_worker(const WorkerOptions& options);

}  // namespace hitfs::fs
