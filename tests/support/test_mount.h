#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fs/mounting/mount.h"
#include "fs/slots/request_counters.h"
#include "fs/slots/slots.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

namespace hitfs::testing {

// Why nothing can be mounted here; nothing when it can.
std::optional<std::string> why_no_mount();

// A mounted directory with everything a supervisor holds, and one worker process at a time. Whatever the test does, at
// the end (or after `limit`, should something hang) waiting requests are failed, the worker is killed, and the mount
// and its folder are gone.
class TestMount {
 public:
  // Gives the command of a worker for these descriptors.
  using WorkerCommand =
      std::function<std::vector<std::string>(const TestMount&, int fuse_fd, int slots_fd, int ready_fd)>;

  // A worker over a DiskFilesystem. `directory_seconds` is how long the kernel may believe the attributes of a
  // directory.
  static WorkerCommand disk_worker(int directory_seconds = 3600);

  explicit TestMount(WorkerCommand command = disk_worker(), std::chrono::seconds limit = std::chrono::seconds(120),
                     bool allow_other = false);
  ~TestMount();
  TestMount(const TestMount&) = delete;
  TestMount& operator=(const TestMount&) = delete;

  // What was wrong at the start; a test begins with ASSERT_EQ(mount.failure(), "").
  [[nodiscard]] const std::string& failure() const { return failure_; }

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return root_ / name; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }  // behind the DiskFilesystem
  [[nodiscard]] const TempDir& work() const { return work_; }                    // beside it: for a store
  [[nodiscard]] fs::SlotMemory& slots() { return *slots_; }
  [[nodiscard]] fs::Mount& mount() { return *mount_; }
  [[nodiscard]] fs::RequestCounts counts() const { return fs::count_requests(*slots_); }

  // Starts a worker and waits until it serves; false when it ended instead.
  bool start_worker();
  // Starts a worker and gives the descriptor that becomes readable when it serves or ends.
  UniqueFd spawn_worker();
  void kill_worker();                        // SIGKILL, and waits for its death
  [[nodiscard]] int end_worker(int signal);  // the same with another signal; gives its exit code, or -signal
  [[nodiscard]] int wait_for_worker();       // until it ends by itself
  void signal_worker(int signal) const;
  [[nodiscard]] pid_t worker() const { return worker_; }
  // How the worker ended that start_worker() could not start: as end_worker().
  [[nodiscard]] int last_exit() const { return last_exit_; }

 private:
  void guard(std::chrono::seconds limit);

  TempDir work_;
  std::filesystem::path root_;
  std::filesystem::path folder_;
  WorkerCommand command_;
  std::string failure_;
  std::optional<fs::Mount> mount_;
  std::optional<fs::SlotMemory> slots_;
  pid_t worker_ = -1;
  int last_exit_ = 0;
  pid_t guardian_ = -1;
};

// Runs `body` in a child process that ends with its result; a test can then wait for it with a limit, and a hang in a
// system call hangs no test.
class TestProcess {
 public:
  explicit TestProcess(const std::function<int()>& body);
  ~TestProcess();
  TestProcess(const TestProcess&) = delete;
  TestProcess& operator=(const TestProcess&) = delete;

  // Its exit code, minus the signal that ended it, or nothing when it still runs after `limit`.
  std::optional<int> wait(std::chrono::milliseconds limit = std::chrono::seconds(60));
  void signal(int number) const;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int pidfd_ = -1;
};

}  // namespace hitfs::testing
