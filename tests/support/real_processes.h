#pragma once

#include <csignal>
#include <filesystem>
#include <optional>

#include "tests/support/test_mount.h"

namespace hitfs::testing {

// The daemon of one store as a process of its own, and the command of a real mount worker: both are
// tests/mount/real_process.cc. Entries of the mount are names of 16 hex digits.
class DaemonProcess {
 public:
  explicit DaemonProcess(const std::filesystem::path& store) : store_(store) { start(); }
  ~DaemonProcess() { end(SIGKILL); }
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  [[nodiscard]] bool ready() const { return ready_; }
  void start();
  void end(int signal);

 private:
  std::filesystem::path store_;
  std::optional<TestProcess> process_;
  bool ready_ = false;
};

// Everything in the mount belongs to `owner`; `complete` is the layout's.
TestMount::WorkerCommand real_worker(const std::filesystem::path& store, uid_t owner = 0,
                                     const std::string& complete = "rename");

}  // namespace hitfs::testing
