#include "tests/support/process.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "store/base/io.h"
#include "tests/support/eventually.h"

namespace hitfs::testing {
namespace {

constexpr Milliseconds kPatienceAfterKill{10000};
constexpr int kFirstKept = 500;  // descriptors that a service has left with us

[[noreturn]] void fail(const std::string& doing) { throw std::system_error(errno, std::generic_category(), doing); }

std::vector<std::string> merged_environment(const Command& command) {
  std::vector<std::string> merged;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    std::string text = *variable;
    if (!command.environment.contains(text.substr(0, text.find('=')))) merged.push_back(std::move(text));
  }
  for (const auto& [name, value] : command.environment) {
    if (value) merged.push_back(name + "=" + *value);
  }
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// In the child, between fork and exec: system calls only.
[[noreturn]] void become(char* const* arguments, char* const* environment, const char* directory, int log, int errors,
                         pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // the test died before the line above
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  if (*directory == '\0' || ::chdir(directory) == 0) ::execvpe(arguments[0], arguments, environment);
  ::dprintf(STDERR_FILENO, "cannot run %s in '%s': %s\n", arguments[0], directory, std::strerror(errno));
  ::_exit(127);
}

// Empty when it cannot be read: a process may end while we read about it (ESRCH).
std::string read_all(const std::filesystem::path& path) {
  constexpr size_t kMost = 16 << 20;
  auto text = io::read_file(path, kMost);
  return text ? *std::move(text) : std::string();
}

enum class Zombies { leave_out, include };

// Parent of each process, from /proc/PID/stat: "pid (name) state parent ...", where the name may hold anything.
std::map<pid_t, pid_t> parents(Zombies zombies) {
  std::map<pid_t, pid_t> result;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string stat = read_all(entry.path() / "stat");
    const size_t close = stat.rfind(')');
    if (close == std::string::npos) continue;
    std::istringstream rest(stat.substr(close + 1));
    char state = 0;
    pid_t parent = 0;
    if (rest >> state >> parent && (state != 'Z' || zombies == Zombies::include)) result[std::stoi(name)] = parent;
  }
  return result;
}

std::set<pid_t> descendants_of(pid_t ancestor, Zombies zombies) {
  const auto parent_of = parents(zombies);
  std::set<pid_t> found;
  for (bool grew = true; grew;) {
    grew = false;
    for (const auto& [pid, parent] : parent_of) {
      if (parent == ancestor || found.contains(parent)) grew |= found.insert(pid).second;
    }
  }
  return found;
}

}  // namespace

Process::Process(const Command& command) {
  std::vector<std::string> argument_texts = command.arguments;
  std::vector<std::string> environment_texts = merged_environment(command);
  const auto arguments = pointers(argument_texts);
  const auto environment = pointers(environment_texts);
  const std::string directory = command.directory.string();

  log_.reset(::memfd_create("output", MFD_CLOEXEC));
  // Writers share one offset and append; output() reads by position.
  if (!log_ || ::fcntl(log_.get(), F_SETFL, O_APPEND) != 0) fail("memfd_create");
  UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!nowhere) fail("/dev/null");
  const int errors = command.with_errors ? log_.get() : nowhere.get();
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) fail("fork");
  if (pid_ == 0) become(arguments.data(), environment.data(), directory.c_str(), log_.get(), errors, parent);
  ::setpgid(pid_, pid_);  // whoever is first; EACCES after exec is fine
  exit_event_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!exit_event_) fail("pidfd_open");
}

Process::~Process() {
  if (!status_) {
    signal_group(SIGKILL);
    wait_for_exit(kPatienceAfterKill);
  }
}

bool Process::running() { return !wait_for_exit(Milliseconds(0)); }

std::string Process::output() const {
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t got = ::pread(log_.get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
}

void Process::signal(int number) const {
  if (!status_) ::kill(pid_, number);
}

void Process::signal_group(int number) const {
  if (!status_) ::kill(-pid_, number);
}

Outcome Process::wait(Milliseconds limit) {
  const bool ended = wait_for_exit(limit);
  if (!ended) {
    signal_group(SIGKILL);
    wait_for_exit(kPatienceAfterKill);
  }
  return {status_.value_or(-1), !ended, output()};
}

Outcome Process::stop(Milliseconds limit) {
  signal(SIGTERM);
  return wait(limit);
}

bool Process::wait_for_exit(Milliseconds limit) {
  if (status_) return true;
  const auto deadline = Deadline::after(limit);
  for (;;) {
    pollfd ended{exit_event_.get(), POLLIN, 0};
    const int ready = ::poll(&ended, 1, static_cast<int>(deadline.left().count()));
    if (ready > 0) break;
    if (ready == 0 || errno != EINTR) return false;
  }
  reap();
  return true;
}

void Process::reap() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Outcome run(const Command& command, Milliseconds limit) {
  Process process(command);
  return process.wait(limit);
}

Enclosure::Enclosure(std::filesystem::path folder) : folder_(std::filesystem::canonical(folder)) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

Enclosure::~Enclosure() {
  const auto deadline = Deadline::after(kPatienceAfterKill);
  const auto remaining = [] { return descendants_of(::getpid(), Zombies::include); };
  // A killed parent hands its children to us, and a process may fork while we look: until none is left.
  for (auto left = remaining(); !left.empty() && !deadline.passed(); left = remaining()) {
    // First of all the mounts: a process that is stuck in one of them dies only when it is gone.
    for (const std::string& mount : mounts()) ::umount2(mount.c_str(), MNT_DETACH | MNT_FORCE);
    for (pid_t pid : left) ::kill(pid, SIGKILL);
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
  for (const std::string& mount : mounts()) {
    if (::umount2(mount.c_str(), MNT_DETACH) != 0) run({{"fusermount3", "-uz", mount}, {}, {}}, kPatienceAfterKill);
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

std::vector<std::string> Enclosure::descendants() const {
  std::vector<std::string> found;
  for (pid_t pid : descendants_of(::getpid(), Zombies::leave_out)) {
    std::string line = read_all("/proc/" + std::to_string(pid) + "/cmdline");
    std::replace(line.begin(), line.end(), '\0', ' ');
    found.push_back(std::to_string(pid) + " " + line);
  }
  return found;
}

bool Enclosure::nobody_works_in(const std::filesystem::path& folder, Milliseconds limit) const {
  const std::string prefix = std::filesystem::canonical(folder).string();
  const auto works_there = [&](pid_t pid) {
    std::error_code gone;
    const std::string place = std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/cwd", gone).string();
    return place == prefix || place.starts_with(prefix + "/");
  };
  return eventually(
      [&] {
        const std::set<pid_t> living = descendants_of(::getpid(), Zombies::leave_out);
        return std::none_of(living.begin(), living.end(), works_there);
      },
      limit);
}

std::vector<std::string> Enclosure::mounts() const {
  std::vector<std::string> found;
  std::istringstream lines(read_all("/proc/self/mounts"));
  const std::string prefix = folder_.string() + "/";
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string device, path;
    if (words >> device >> path && path.starts_with(prefix)) found.push_back(path);
  }
  std::reverse(found.begin(), found.end());  // the last one mounted goes first
  return found;
}

ReadySocket::ReadySocket(const std::filesystem::path& folder) : path_((folder / "notify").string()) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) throw std::length_error("too long for a socket: " + path_);
  path_.copy(address.sun_path, path_.size());
  socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::unlink(path_.c_str());
  if (!socket_ || ::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fail(path_);
}

bool ReadySocket::wait(Process& process, Milliseconds limit) {
  const auto deadline = Deadline::after(limit);
  // The process's end shows at the latest a second later; the message itself shows at once.
  while (!deadline.passed() && process.running()) {
    pollfd message{socket_.get(), POLLIN, 0};
    const auto slice = std::min(deadline.left(), Milliseconds(1000));
    if (::poll(&message, 1, static_cast<int>(slice.count())) <= 0) continue;
    const auto said = receive();
    if (said && said->find("READY=1") != std::string::npos) return true;
  }
  return false;
}

std::optional<std::string> ReadySocket::receive() {
  std::array<char, 4096> buffer;
  iovec text{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{nullptr, 0, &text, 1, control.data(), control.size(), 0};
  const ssize_t got = ::recvmsg(socket_.get(), &message, 0);
  if (got < 0) return std::nullopt;
  UniqueFd descriptor;
  if (const cmsghdr* rights = CMSG_FIRSTHDR(&message); rights != nullptr && rights->cmsg_type == SCM_RIGHTS) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(rights), sizeof(int));
    // Where as_service() finds it, and out of the way of where it goes.
    descriptor.reset(::fcntl(number, F_DUPFD, kFirstKept));
    ::close(number);
  }
  std::string said(buffer.data(), static_cast<size_t>(got));
  const auto name_at = said.find("FDNAME=");
  if (name_at == std::string::npos) return said;
  const auto name = said.substr(name_at + 7, said.find('\n', name_at) - name_at - 7);
  if (said.starts_with("FDSTORE=1") && descriptor) kept_[name] = std::move(descriptor);
  if (said.starts_with("FDSTOREREMOVE=1")) kept_.erase(name);
  return said;
}

void ReadySocket::drain() {
  while (receive()) {
  }
}

// A shell puts the descriptors where they belong (3, 4, ...): only it knows its process id before it becomes the
// program.
Command ReadySocket::as_service(Command command) {
  drain();
  std::string script, names;
  int place = 3;
  for (const auto& [name, descriptor] : kept_) {
    const auto kept = std::to_string(descriptor.get());
    script += "exec " + std::to_string(place++) + "<&" + kept + " " + kept + "<&-; ";
    names += (names.empty() ? "" : ":") + name;
  }
  script +=
      "export LISTEN_PID=$$ LISTEN_FDS=" + std::to_string(kept_.size()) + " LISTEN_FDNAMES=" + names + "; exec \"$@\"";
  command.arguments.insert(command.arguments.begin(), {"bash", "-c", script, "service"});
  command.environment["NOTIFY_SOCKET"] = path_;
  return command;
}

int free_port() {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (!socket || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    fail("find a free port");
  }
  return ntohs(address.sin_port);
}

}  // namespace hitfs::testing
