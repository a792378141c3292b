#include "sync/push_alarm.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "store/base/clock.h"
#include "store/base/unique_fd.h"

namespace hitfs {

namespace {

constexpr Milliseconds kPatience{10'000};

std::string inherited(const char* name) {
  const char* value = std::getenv(name);
  return std::string(name) + "=" + (value ? value : "");
}

Result<pid_t> start_shell(const std::string& command, std::vector<std::string> environment) {
  std::vector<char*> names;
  for (auto& variable : environment) names.push_back(variable.data());
  names.push_back(nullptr);
  std::string shell = "/bin/sh";
  std::string flag = "-c";
  std::string text = command;
  char* arguments[] = {shell.data(), flag.data(), text.data(), nullptr};

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  pid_t child = -1;
  int failure = ::posix_spawn(&child, shell.c_str(), nullptr, &attributes, arguments, names.data());
  posix_spawnattr_destroy(&attributes);
  if (failure != 0) return system_error("start on_push_failed", failure);
  return child;
}

}  // namespace

Status run_push_alarm(const std::string& command, const PushJob& job, const std::string& why) {
  auto child = start_shell(command, {inherited("PATH"), inherited("HOME"), "HITFS_KEY=" + job.key.text(),
                                     "HITFS_REMOTE=" + job.remote, "HITFS_WHY=" + why});
  if (!child) return std::move(child).error();
  UniqueFd ended(static_cast<int>(::syscall(SYS_pidfd_open, *child, 0)));
  struct pollfd wait_for {
    ended.get(), POLLIN, 0
  };
  bool in_time = ended && ::poll(&wait_for, 1, static_cast<int>(kPatience.count())) == 1;
  if (!in_time) ::kill(-*child, SIGKILL);
  int status = 0;
  ::waitpid(*child, &status, 0);
  if (!in_time) return Error{Code::unavailable, "did not end within 10 s"};
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return Error{Code::internal, "ended with an error"};
  return Ok{};
}

}  // namespace hitfs
