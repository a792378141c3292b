// The real processes of a mount, for tests that need no supervisor:
//   test_real_process daemon READY_FD STORE
//   test_real_process worker FUSE_FD SLOTS_FD READY_FD STORE OWNER COMPLETE MOUNT_POINT
#include <sys/prctl.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "fs/worker.h"
#include "store/base/log.h"
#include "sync/daemon.h"

using namespace hitfs;

int main(int count, char** arguments) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  log::set_level(std::getenv("HITFS_TEST_LOG") != nullptr ? log::Level::debug : log::Level::warn);
  std::string what = count > 1 ? arguments[1] : "";
  if (what == "daemon" && count == 4) {
    DaemonOptions options;
    options.store.root = arguments[3];
    return run_daemon(options, std::atoi(arguments[2]));
  }
  if (what == "worker" && count == 9) {
    fs::WorkerOptions options;
    options.fuse_fd = std::atoi(arguments[2]);
    options.slots_fd = std::atoi(arguments[3]);
    options.ready_fd = std::atoi(arguments[4]);
    options.store.root = arguments[5];
    options.mount_name = "test";
    options.uid = options.gid = static_cast<uint32_t>(std::atoi(arguments[6]));
    options.layout.pattern = "[0-9a-f]{16}";
    options.layout.complete = arguments[7];
    options.mount_point = arguments[8];
    return fs::run_mount_worker(options);
  }
  return 2;
}
