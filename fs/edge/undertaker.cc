#include "fs/edge/undertaker.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

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
  ::prctl(PR_SET_NAME, "hitfs-undertake", 0, 0, 0);
  for (int ignored : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(ignored, SIG_IGN);
  if (!dies_within(deaths.worker, -1) || !dies_within(deaths.supervisor, kMomentMs)) return;
  // Nobody is stuck. Should a service manager keep the connection, it is for the next supervisor.
  if (dies_within(deaths.notify, kMomentMs)) return;
  auto slots = SlotMemory::attach(slots_fd, SlotMemory::Pages::lazy);
  if (slots) fail_until(deaths.notify, fuse_fd, *slots);
}

// The ends of other people's pipes must not stay open here. Gives the numbers that those which are kept have now.
template <size_t kCount>
std::array<int, kCount> keep_only(const std::array<int, kCount>& kept) {
  constexpr int kFirst = 3;
  std::array<int, kCount> above{}, now{};
  // First out of the way of each other.
  for (size_t i = 0; i < kCount; ++i) above[i] = ::fcntl(kept[i], F_DUPFD_CLOEXEC, 64);
  for (size_t i = 0; i < kCount; ++i) now[i] = ::dup2(above[i], kFirst + static_cast<int>(i));
  ::close(STDIN_FILENO);
  ::close(STDOUT_FILENO);
  ::close_range(kFirst + kCount, ~0U, 0);
  return now;
}

}  // namespace

Result<Undertaker> Undertaker::start(int fuse_fd, int slots_fd, pid_t notify) {
  UniqueFd worker(pidfd_of(::getpid())), supervisor(pidfd_of(::getppid())), notifying(pidfd_of(notify));
  if (!worker || !supervisor || !notifying) return system_error("watch the supervisor", errno);
  pid_t child = ::fork();
  if (child < 0) return system_error("fork the undertaker", errno);
  if (child > 0) return Undertaker(child);
  auto kept = keep_only(std::array{fuse_fd, slots_fd, worker.get(), supervisor.get(), notifying.get()});
  run(kept[0], kept[1], {kept[2], kept[3], kept[4]});
  ::_exit(0);
}

void Undertaker::dismiss() const { ::kill(process_, SIGKILL); }

}  // namespace hitfs::fs
