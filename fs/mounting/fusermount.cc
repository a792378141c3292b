#include "fs/mounting/fusermount.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

extern char** environ;

namespace hitfs::fs::fusermount {

namespace {

constexpr const char* kProgram = "fusermount3";

struct Child {
  pid_t pid = -1;
  UniqueFd errors;   // what it says
  UniqueFd channel;  // our end of _FUSE_COMMFD
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

// Runs fusermount3 with its errors in a pipe, and with `inherited` as descriptor 3 for its answer.
Result<pid_t> spawn(std::vector<std::string> arguments, int errors, int inherited) {
  constexpr int kChannel = 3;
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "_FUSE_COMMFD=", 13) != 0) environment.emplace_back(*variable);
  }
  environment.push_back("_FUSE_COMMFD=" + std::to_string(kChannel));

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
  if (inherited >= 0) posix_spawn_file_actions_adddup2(&actions, inherited, kChannel);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);

  pid_t pid = -1;
  auto argv = pointers(arguments);
  auto envp = pointers(environment);
  int failure = ::posix_spawnp(&pid, kProgram, &actions, &attributes, argv.data(), envp.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failure == ENOENT) {
    return Error{Code::unavailable, "fusermount3 is not installed: install the package fuse3, or mount as root"};
  }
  if (failure != 0) return system_error("run fusermount3", failure);
  return pid;
}

Result<Child> start(std::vector<std::string> arguments, bool with_channel) {
  Child child;
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) < 0) return system_error("pipe", errno);
  child.errors.reset(pipe_ends[0]);
  UniqueFd errors(pipe_ends[1]);
  UniqueFd channel;
  if (with_channel) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return system_error("socketpair", errno);
    child.channel.reset(ends[0]);
    channel.reset(ends[1]);
    // dup2 onto itself would keep FD_CLOEXEC, so the child's end never has that number.
    channel.reset(::fcntl(channel.get(), F_DUPFD_CLOEXEC, 10));
  }
  auto pid = spawn(std::move(arguments), errors.get(), channel.get());
  if (!pid) return std::move(pid).error();
  child.pid = *pid;
  return child;
}

// Everything the helper says until it ends; it is killed at the deadline.
std::string read_errors(const Child& child, const Deadline& until) {
  constexpr size_t kMost = 4096;
  std::string text;
  for (;;) {
    pollfd readable{child.errors.get(), POLLIN, 0};
    int ready = ::poll(&readable, 1, static_cast<int>(until.left().count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      ::kill(child.pid, SIGKILL);
      return text + " (it did not end in time)";
    }
    char piece[512];
    ssize_t got = ::read(child.errors.get(), piece, sizeof(piece));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (text.size() < kMost) text.append(piece, static_cast<size_t>(got));
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

Status wait_for(const Child& child, const std::string& said) {
  int state = 0;
  pid_t ended;
  do {
    ended = ::waitpid(child.pid, &state, 0);
  } while (ended < 0 && errno == EINTR);
  if (ended < 0) return system_error("wait for fusermount3", errno);
  if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return Ok{};
  return Error{Code::internal, said.empty() ? "fusermount3 failed and said nothing" : said};
}

// The descriptor comes as ancillary data of one byte.
UniqueFd receive_descriptor(int channel, const Deadline& until) {
  pollfd readable{channel, POLLIN, 0};
  while (::poll(&readable, 1, static_cast<int>(until.left().count())) < 0 && errno == EINTR) {
  }
  char byte;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  if (::recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0) return {};
  const auto* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return {};
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  return UniqueFd(fd);
}

}  // namespace

Result<UniqueFd> mount(const std::string& mount_point, const std::string& options, const Deadline& until) {
  auto child = start({kProgram, "-o", options, "--", mount_point}, true);
  if (!child) return std::move(child).error();
  auto device = receive_descriptor(child->channel.get(), until);
  auto ended = wait_for(*child, read_errors(*child, until));
  if (!ended) return std::move(ended).error();
  if (!device) return Error{Code::internal, "fusermount3 gave no descriptor"};
  return device;
}

Status unmount(const std::string& mount_point, const Deadline& until) {
  auto child = start({kProgram, "-u", "-z", "--", mount_point}, false);
  if (!child) return std::move(child).error();
  return wait_for(*child, read_errors(*child, until));
}

}  // namespace hitfs::fs::fusermount
