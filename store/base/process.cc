#include "store/base/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

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

void tell_ready(int ready_fd) {
  if (ready_fd < 0) return;
  UniqueFd ready(ready_fd);
  // Whoever started us may be gone already; then the byte is nobody's.
  [[maybe_unused]] auto told = ::write(ready.get(), "1", 1);
}

}  // namespace hitfs
