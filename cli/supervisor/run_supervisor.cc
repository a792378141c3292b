#include "cli/supervisor/run_supervisor.h"

#include <sys/prctl.h>

#include <csignal>
#include <utility>

#include "cli/supervisor/start.h"

namespace hitfs {

Status run_supervisor(SupervisorOptions options, SupervisorParts parts, int ready_fd) {
  // It holds tokens: nobody of the same user may read its memory (exec resets this, so each process says it).
  ::prctl(PR_SET_DUMPABLE, 0);
  ::signal(SIGPIPE, SIG_IGN);
  // Orphans of a killed worker come to us, also where process 1 reaps nobody (a container without an init).
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  auto loop = EventLoop::create();
  if (!loop) return std::move(loop).error();
  auto supervisor = Supervisor::create(**loop, std::move(options), std::move(parts));
  if (!supervisor) {
    report_failure(ready_fd, supervisor.error());
    return std::move(supervisor).error();
  }
  report_ready(ready_fd);
  (*supervisor)->begin();
  (*loop)->run();
  if (const auto& why = (*supervisor)->failure(); !why.empty()) return Error{Code::unavailable, why};
  return Ok{};
}

}  // namespace hitfs
