// A mount worker over a DiskFilesystem, for tests of the edge: `test_disk_worker FUSE_FD SLOTS_FD READY_FD FOLDER
// SECONDS`. SIGUSR1 releases the parked lookups; SIGUSR2 makes the kernel forget the name "known" at the
// top.
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "fs/edge/crash_blame.h"
#include "fs/edge/fuse_server.h"
#include "fs/edge/kernel_notifier.h"
#include "fs/slots/reference_table.h"
#include "store/base/log.h"
#include "tests/support/disk_filesystem.h"

using namespace hitfs;
using namespace hitfs::fs;

int main(int count, char** arguments) {
  if (count != 6) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  log::set_level(std::getenv("HITFS_TEST_LOG") != nullptr ? log::Level::debug : log::Level::off);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGUSR2);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd signal_fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  blame_requests_for_crashes();

  FuseServerOptions options{.fuse_fd = std::atoi(arguments[1])};
  auto notify = NotifyProcess::start(options.fuse_fd);
  if (!notify) return 3;
  QueuedNotifier notifier(std::move(*notify));
  auto slots = SlotMemory::attach(std::atoi(arguments[2]), SlotMemory::Pages::resident);
  if (!slots) return 3;
  ReferenceTable references(*slots);
  testing::DiskFilesystem filesystem({arguments[4], std::chrono::seconds(std::atoi(arguments[5]))}, references);
  auto server = FuseServer::create(options, *slots, filesystem);
  if (!server) return 4;
  if (auto started = (*server)->start(); !started) {
    std::fprintf(stderr, "%s\n", started.error().message.c_str());
    return 5;
  }
  int ready = std::atoi(arguments[3]);
  if (::write(ready, "r", 1) != 1) return 6;
  ::close(ready);

  for (;;) {
    pollfd events[2] = {{(*server)->gone_fd(), POLLIN, 0}, {signal_fd.get(), POLLIN, 0}};
    if (::poll(events, 2, -1) < 0) continue;
    if ((events[0].revents & POLLIN) != 0) return 0;
    signalfd_siginfo signal{};
    if (::read(signal_fd.get(), &signal, sizeof(signal)) != sizeof(signal)) continue;
    if (signal.ssi_signo == SIGTERM) {
      (*server)->quiesce(Deadline::after(std::chrono::seconds(2)));
      ::_exit(0);
    }
    if (signal.ssi_signo == SIGUSR2) {
      notifier.invalidate_name(kRootNumber, "known");
    } else {
      filesystem.release();
    }
  }
}
