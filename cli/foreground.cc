#include "cli/foreground.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "cli/exit_codes.h"
#include "store/base/subprocess.h"

namespace hitfs {

ForegroundSignals::ForegroundSignals() {
  sigset_t ours;
  ::sigemptyset(&ours);
  for (int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGCHLD}) ::sigaddset(&ours, number);
  ::pthread_sigmask(SIG_BLOCK, &ours, &old_mask_);
  signals_.reset(::signalfd(-1, &ours, SFD_CLOEXEC));
}

int ForegroundSignals::next(bool wait) {
  ::fcntl(signals_.get(), F_SETFL, wait ? 0 : O_NONBLOCK);
  signalfd_siginfo info{};
  ssize_t got;
  do {
    got = ::read(signals_.get(), &info, sizeof(info));
  } while (got < 0 && errno == EINTR);
  return got == sizeof(info) ? static_cast<int>(info.ssi_signo) : 0;
}

bool ForegroundSignals::asked_to_end() {
  bool asked = false;
  while (int number = next(false)) asked = asked || number != SIGCHLD;
  return asked;
}

Result<CommandEnd> run_in_foreground(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                                     ForegroundSignals& signals) {
  SpawnOptions options;
  options.arguments = words;
  options.environment = environment;
  options.keep_all_descriptors = true;
  options.signal_mask = signals.old_mask();
  auto child = spawn(options);
  if (!child) return std::move(child).error();
  CommandEnd end;
  while (true) {
    int status = 0;
    pid_t reaped = ::waitpid(*child, &status, WNOHANG);
    if (reaped < 0 && errno != EINTR) return system_error("wait for " + words.front(), errno);
    if (reaped == *child) {
      end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      end.exit_code = WIFSIGNALED(status) ? 128 + end.signal : WEXITSTATUS(status);
      return end;
    }
    int number = signals.next(true);
    if (number != SIGCHLD && number != 0) end.told_to_end = true;
    if (number == SIGTERM || number == SIGHUP) ::kill(*child, number);
  }
}

int end_alike(const CommandEnd& end) {
  if (end.signal == 0) return end.exit_code;
  // A shell sees the death that the command died. No core file of ours beside the command's.
  rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::signal(end.signal, SIG_DFL);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, end.signal);
  ::kill(::getpid(), end.signal);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  return end.exit_code;  // process 1 of a container does not die by it
}

int report_not_started(const std::string& command, const Error& why) {
  bool missing = why.code == Code::not_found;
  fmt::print(stderr, "hitfs: {}: {}\n", command, missing ? "command not found" : why.message);
  return missing ? kCommandNotFound : kNotExecutable;
}

}  // namespace hitfs
