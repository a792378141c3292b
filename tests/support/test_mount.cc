#include "tests/support/test_mount.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>

namespace hitfs::testing {

namespace {

int code_of(int state) { return WIFEXITED(state) ? WEXITSTATUS(state) : -WTERMSIG(state); }

int reap(pid_t pid) {
  int state = 0;
  while (::waitpid(pid, &state, 0) < 0 && errno == EINTR) {
  }
  return code_of(state);
}

// A child that only uses the mount must not keep its connection open.
void close_connections() {
  std::vector<int> connections;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path(), gone) == "/dev/fuse") {
      connections.push_back(std::stoi(entry.path().filename()));
    }
  }
  for (int fd : connections) ::close(fd);
}

std::filesystem::path beside_this_program(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

}  // namespace

std::optional<std::string> why_no_mount() {
  if (::access("/dev/fuse", R_OK | W_OK) != 0) return "no /dev/fuse that this user may open";
  TempDir probe;
  auto mounted = fs::Mount::mount({.mount_point = probe.path()});
  if (!mounted) return mounted.error().message;
  return std::nullopt;
}

TestMount::WorkerCommand TestMount::disk_worker(int directory_seconds) {
  return [=](const TestMount& mount, int fuse_fd, int slots_fd, int ready_fd) {
    return std::vector<std::string>{beside_this_program("test_disk_worker").string(),
                                    std::to_string(fuse_fd),
                                    std::to_string(slots_fd),
                                    std::to_string(ready_fd),
                                    mount.folder().string(),
                                    std::to_string(directory_seconds)};
  };
}

TestMount::TestMount(WorkerCommand command, std::chrono::seconds limit, bool allow_other)
    : root_(work_ / "mount"), folder_(work_ / "nodes"), command_(std::move(command)) {
  std::filesystem::create_directory(root_);
  std::filesystem::create_directory(folder_);
  auto slots = fs::SlotMemory::create();
  if (!slots) {
    failure_ = slots.error().message;
    return;
  }
  slots_ = std::move(*slots);
  auto mount = fs::Mount::mount({.mount_point = root_, .allow_other = allow_other});
  if (!mount) {
    failure_ = mount.error().message;
    return;
  }
  mount_ = std::move(*mount);
  guard(limit);
  if (!start_worker()) failure_ = "the worker did not start";
}

TestMount::~TestMount() {
  if (worker_ > 0) kill_worker();
  if (slots_ && mount_) slots_->fail_all(mount_->descriptor());
  mount_.reset();
  if (guardian_ > 0) {
    ::kill(guardian_, SIGKILL);
    reap(guardian_);
  }
}

// A process that outlives a hanging or dying test: it ends when the test ends it.
void TestMount::guard(std::chrono::seconds limit) {
  pid_t test = ::getpid();
  guardian_ = ::fork();
  if (guardian_ != 0) return;
  close_connections();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  sigset_t death;
  sigemptyset(&death);
  sigaddset(&death, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &death, nullptr);
  timespec time{limit.count(), 0};
  bool died = ::getppid() != test || ::sigtimedwait(&death, nullptr, &time) == SIGTERM;
  if (!died) ::kill(test, SIGKILL);  // and with it the worker, and the connection
  // The test may wait uninterruptibly for an answer of a worker that is not there.
  ::umount2(root_.c_str(), MNT_FORCE);
  ::umount2(root_.c_str(), MNT_DETACH);
  ::_exit(1);
}

UniqueFd TestMount::spawn_worker() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return {};
  UniqueFd ready(ends[0]);
  UniqueFd theirs(ends[1]);
  auto arguments = command_(*this, mount_->descriptor(), slots_->descriptor(), theirs.get());
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  worker_ = ::fork();
  if (worker_ == 0) {
    for (int inherited : {mount_->descriptor(), slots_->descriptor(), theirs.get()}) ::fcntl(inherited, F_SETFD, 0);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  return ready;
}

bool TestMount::start_worker() {
  auto ready = spawn_worker();
  char byte = 0;
  ssize_t got;
  do {
    got = ::read(ready.get(), &byte, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) return true;
  last_exit_ = wait_for_worker();
  return false;
}

void TestMount::kill_worker() { static_cast<void>(end_worker(SIGKILL)); }

int TestMount::end_worker(int signal) {
  signal_worker(signal);
  return wait_for_worker();
}

int TestMount::wait_for_worker() {
  int code = reap(worker_);
  worker_ = -1;
  return code;
}

void TestMount::signal_worker(int signal) const {
  if (worker_ > 0) ::kill(worker_, signal);
}

TestProcess::TestProcess(const std::function<int()>& body) {
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_connections();
    ::_exit(body());
  }
  pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
}

TestProcess::~TestProcess() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    static_cast<void>(wait(std::chrono::seconds(5)));
  }
  ::close(pidfd_);
}

std::optional<int> TestProcess::wait(std::chrono::milliseconds limit) {
  pollfd ended{pidfd_, POLLIN, 0};
  if (::poll(&ended, 1, static_cast<int>(limit.count())) <= 0) return std::nullopt;
  int code = reap(pid_);
  pid_ = -1;
  return code;
}

void TestProcess::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

}  // namespace hitfs::testing
