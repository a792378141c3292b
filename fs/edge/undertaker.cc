#include "fs/edge/undertaker.h"

#include <linux/fuse.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "fs/edge/helper_process.h"

namespace hitfs::fs {

namespace {

// A worker that its supervisor's death killed is seen dead a moment before the supervisor is.
constexpr int kMomentMs = 200;
// Between two looks at a connection that has nothing to say.
constexpr int kLookMs = 1000;
constexpr SlotIndex kBuffer = 0;  // a large slot, when all are free

struct Deaths {
  int worker, supervisor, notify;  // pidfds
};

int pidfd_of(pid_t process) { return static_cast<int>(::syscall(SYS_pidfd_open, process, 0)); }

bool dies_within(int process, int limit_ms) {
  pollfd death{process, POLLIN, 0};
  int seen;
  do {
    seen = ::poll(&death, 1, limit_ms);
  } while (seen < 0 && errno == EINTR);
  return seen > 0;
}

// Reads a request and refuses it; false when the connection is no more.
bool refuse_one(int fuse_fd, std::span<std::byte> buffer) {
  ssize_t got = ::read(fuse_fd, buffer.data(), buffer.size());
  if (got < 0) return errno != ENODEV && errno != EBADF;
  fuse_in_header asked{};
  if (static_cast<size_t>(got) < sizeof(asked)) return true;
  std::memcpy(&asked, buffer.data(), sizeof(asked));
  fuse_out_header out{sizeof(fuse_out_header), -ENOTCONN, asked.unique};
  // One without a reply (FORGET) is refused by the kernel, and that is fine.
  return ::write(fuse_fd, &out, sizeof(out)) >= 0 || errno != ENODEV;
}

void fail_until(int notify_gone, int fuse_fd, SlotMemory& slots) {
  slots.fail_all(fuse_fd);
  std::array<pollfd, 2> events{pollfd{notify_gone, POLLIN, 0}, pollfd{fuse_fd, POLLIN, 0}};
  for (;;) {
    ::poll(events.data(), events.size(), kLookMs);
    if (events[0].revents != 0 || (events[1].revents & POLLERR) != 0) return;
    if ((events[1].revents & POLLIN) != 0 && !refuse_one(fuse_fd, slots.payload(kBuffer))) return;
  }
}

// The whole life of the process.
void run(int fuse_fd, int slots_fd, const Deaths& deaths) {
  if (!dies_within(deaths.worker, -1) || !dies_within(deaths.supervisor, kMomentMs)) return;
  // Nobody is stuck. Should a service manager keep the connection, it is for the next supervisor.
  if (dies_within(deaths.notify, kMomentMs)) return;
  auto slots = SlotMemory::attach(slots_fd, SlotMemory::Pages::lazy);
  if (slots) fail_until(deaths.notify, fuse_fd, *slots);
}

}  // namespace

Result<Undertaker> Undertaker::start(int fuse_fd, int slots_fd, pid_t notify) {
  UniqueFd worker(pidfd_of(::getpid())), supervisor(pidfd_of(::getppid())), notifying(pidfd_of(notify));
  if (!worker || !supervisor || !notifying) return system_error("watch the supervisor", errno);
  std::array kept{fuse_fd, slots_fd, worker.get(), supervisor.get(), notifying.get()};
  auto child = fork_helper(kUndertakerHelper, kept, [](std::span<const int> now) {
    run(now[0], now[1], {now[2], now[3], now[4]});
  });
  if (!child) return std::move(child).error();
  return Undertaker(*child);
}

void Undertaker::dismiss() const { ::kill(process_, SIGKILL); }

}  // namespace hitfs::fs
