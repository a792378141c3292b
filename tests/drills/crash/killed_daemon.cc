#include "tests/drills/crash/killed_daemon.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "cli/process_config.h"
#include "store/base/subprocess.h"
#include "sync/options_json.h"
#include "tests/support/hitfs_program.h"

namespace hitfs::testing {

KilledDaemon::KilledDaemon(const DaemonOptions& options, const SharedKillPage& page)
    : config_(to_json(options)), environment_(environment_without({"HITFS_LOG_LEVEL", "LD_PRELOAD"})) {
  for (auto& one : page.environment(options.store.root)) environment_.push_back(std::move(one));
  environment_.emplace_back("HITFS_LOG_LEVEL=off");
  program_ = hitfs({}, options.store.root).arguments[0];
}

bool KilledDaemon::start() {
  auto config = write_process_config(config_);
  int ends[2] = {-1, -1};
  if (!config || ::pipe2(ends, O_CLOEXEC) < 0) return false;
  UniqueFd ours(ends[0]), theirs(ends[1]);
  SpawnOptions options;
  options.program = program_;
  options.arguments = {"hitfs", "daemon", "--config-fd", "3", "--ready-fd", "4"};
  options.environment = environment_;
  options.descriptors = {config->get(), theirs.get()};
  options.standard[0] = options.standard[1] = -1;
  options.die_with_parent = true;
  auto started = spawn(options);
  EXPECT_TRUE(started) << started.error().message;
  if (!started) return false;
  pid_ = *started;
  theirs.reset();
  char byte = 0;
  return ::read(ours.get(), &byte, 1) == 1;
}

bool KilledDaemon::alive() {
  siginfo_t info{};
  return pid_ > 0 && ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

void KilledDaemon::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

int KilledDaemon::wait() {
  if (pid_ <= 0) return 0;
  constexpr int kLimitMs = 60'000;
  UniqueFd ended(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  pollfd poll{ended.get(), POLLIN, 0};
  if (::poll(&poll, 1, kLimitMs) != 1) {
    ADD_FAILURE() << "the daemon does not end";
    ::kill(pid_, SIGKILL);
  }
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

void KilledDaemon::end() {
  signal(SIGKILL);
  wait();
}

}  // namespace hitfs::testing
