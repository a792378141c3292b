#include "fs/edge/helper_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

namespace hitfs::fs {

namespace {

constexpr int kFirst = 3;

// The ends of other people's pipes must not stay open in the child. Gives the numbers that those which are kept have
// now.
std::vector<int> keep_only(std::span<const int> kept) {
  constexpr int kOutOfTheWay = 64;
  std::vector<int> above, now;
  for (int descriptor : kept) above.push_back(::fcntl(descriptor, F_DUPFD_CLOEXEC, kOutOfTheWay));
  for (int descriptor : above) now.push_back(::dup2(descriptor, kFirst + static_cast<int>(now.size())));
  ::close(STDIN_FILENO);
  ::close(STDOUT_FILENO);
  ::close_range(kFirst + static_cast<unsigned>(now.size()), ~0U, 0);
  return now;
}

}  // namespace

Result<pid_t> fork_helper(std::string_view name, std::span<const int> kept,
                          const std::function<void(std::span<const int>)>& life) {
  pid_t child = ::fork();
  if (child < 0) return system_error("fork " + std::string(name), errno);
  if (child > 0) return child;
  ::prctl(PR_SET_NAME, std::string(name).c_str(), 0, 0, 0);
  for (int ignored : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGIO}) ::signal(ignored, SIG_IGN);
  life(keep_only(kept));
  ::_exit(0);
}

}  // namespace hitfs::fs
