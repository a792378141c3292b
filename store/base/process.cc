#include "store/base/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "store/base/unique_fd.h"

namespace hitfs {

void protect_process() {
  ::prctl(PR_SET_DUMPABLE, 0);
  std::signal(SIGPIPE, SIG_IGN);
}

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

EndSignals::EndSignals() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

int EndSignals::wait() const {
  int signal = 0;
  ::sigwait(&signals_, &signal);
  return signal;
}

bool waits_for_disk(pid_t process) {
  std::error_code error;
  std::filesystem::directory_iterator threads("/proc/" + std::to_string(process) + "/task", error);
  for (; !error && threads != std::filesystem::directory_iterator(); threads.increment(error)) {
    std::ifstream file(threads->path() / "stat");
    std::string line;
    std::getline(file, line);
    // "TID (NAME) STATE ...", where NAME may hold anything.
    auto name_end = line.rfind(')');
    if (name_end != std::string::npos && line.compare(name_end, 4, ") D ") == 0) return true;
  }
  return false;
}

Nanoseconds cpu_time(pid_t process) {
  clockid_t clock{};
  timespec used{};
  if (::clock_getcpuclockid(process, &clock) != 0 || ::clock_gettime(clock, &used) != 0) return Nanoseconds(0);
  return std::chrono::seconds(used.tv_sec) + Nanoseconds(used.tv_nsec);
}

void tell_ready(int ready_fd) {
  if (ready_fd < 0) return;
  UniqueFd ready(ready_fd);
  // Whoever started us may be gone already; then the byte is nobody's.
  [[maybe_unused]] auto told = ::write(ready.get(), "1", 1);
}

}  // namespace hitfs
