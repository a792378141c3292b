#include "store/base/subprocess.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "store/base/unique_fd.h"

extern char** environ;

namespace hitfs {

namespace {

constexpr int kFirst = 3;

// Everything the child needs, prepared before the fork: after it no memory may be allocated.
struct Prepared {
  std::vector<char*> arguments, environment;
  std::vector<int> moved;  // copies of the descriptors, above every target number
  pid_t parent = 0;
  int report = -1;  // errno of a failure goes here; closed by a successful exec
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  all.reserve(texts.size() + 1);
  for (const auto& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

[[noreturn]] void give_up(const Prepared& prepared) {
  int failure = errno;
  [[maybe_unused]] auto ignored = ::write(prepared.report, &failure, sizeof(failure));
  ::_exit(127);
}

void reset_signals(const SpawnOptions& options) {
  sigset_t none;
  ::sigemptyset(&none);
  if (!options.signal_mask) {
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) ::sigaction(number, &standard, nullptr);
  }
  ::sigprocmask(SIG_SETMASK, options.signal_mask ? &*options.signal_mask : &none, nullptr);
}

void place_standard(const SpawnOptions& options, const Prepared& prepared) {
  // Copies first: a source may itself be one of 0, 1, 2.
  int source[3];
  for (int i = 0; i < 3; ++i) {
    source[i] = options.standard[i] < 0 ? ::open("/dev/null", O_RDWR | O_CLOEXEC)
                                        : ::fcntl(options.standard[i], F_DUPFD_CLOEXEC, kFirst);
    // A starter without that descriptor gives the child none either.
    if (source[i] < 0 && errno != EBADF) give_up(prepared);
  }
  for (int i = 0; i < 3; ++i) {
    if (source[i] >= 0 && ::dup2(source[i], i) < 0) give_up(prepared);
  }
}

void place_descriptors(const SpawnOptions& options, Prepared& prepared) {
  place_standard(options, prepared);
  if (options.keep_all_descriptors) return;
  for (size_t i = 0; i < prepared.moved.size(); ++i) {
    if (::dup2(prepared.moved[i], kFirst + static_cast<int>(i)) < 0) give_up(prepared);
  }
  int free_number = kFirst + static_cast<int>(prepared.moved.size());
  if (prepared.report != free_number) {
    if (::dup3(prepared.report, free_number, O_CLOEXEC) < 0) give_up(prepared);
    prepared.report = free_number;
  }
  if (::close_range(static_cast<unsigned>(free_number) + 1, UINT_MAX, 0) < 0) give_up(prepared);
}

[[noreturn]] void become(const SpawnOptions& options, Prepared& prepared) {
  if (options.detach) {
    if (::setsid() < 0) give_up(prepared);
    pid_t second = ::fork();
    if (second < 0) give_up(prepared);
    if (second > 0) ::_exit(0);
  }
  if (options.new_group && ::setpgid(0, 0) < 0) give_up(prepared);
  if (options.die_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != prepared.parent) ::_exit(127);
  }
  place_descriptors(options, prepared);
  if (!options.working_directory.empty() && ::chdir(options.working_directory.c_str()) < 0) give_up(prepared);
  reset_signals(options);
  const char* program = options.program.empty() ? prepared.arguments[0] : options.program.c_str();
  ::execvpe(program, prepared.arguments.data(), prepared.environment.data());
  give_up(prepared);
}

// Copies that lie above every number the child wants, so that placing one never overwrites another.
Result<std::vector<UniqueFd>> copies_above(const std::vector<int>& descriptors) {
  int above = kFirst + static_cast<int>(descriptors.size()) + 1;
  std::vector<UniqueFd> copies;
  for (int descriptor : descriptors) {
    UniqueFd copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, above));
    if (!copy) return system_error("duplicate a descriptor", errno);
    copies.push_back(std::move(copy));
  }
  return copies;
}

// The errno that the child reported, or 0 once exec has closed the pipe.
int read_report(int report) {
  int failure = 0;
  ssize_t got;
  do {
    got = ::read(report, &failure, sizeof(failure));
  } while (got < 0 && errno == EINTR);
  return got == sizeof(failure) ? failure : 0;
}

void reap(pid_t child) {
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

Result<pid_t> spawn(const SpawnOptions& options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return system_error("pipe", errno);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  auto copies = copies_above(options.descriptors);
  if (!copies) return std::move(copies).error();
  Prepared prepared{pointers(options.arguments), pointers(options.environment), {}, ::getpid(), write_end.get()};
  for (const auto& copy : *copies) prepared.moved.push_back(copy.get());

  pid_t child = ::fork();
  if (child < 0) return system_error("fork", errno);
  if (child == 0) become(options, prepared);
  write_end.reset();
  int failure = read_report(read_end.get());
  if (options.detach || failure != 0) reap(child);
  if (failure != 0) return system_error("start " + options.arguments[0], failure);
  return options.detach ? 0 : child;
}

std::vector<std::string> environment_without(const std::vector<std::string>& without) {
  std::vector<std::string> kept;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    std::string text(*variable);
    auto name = text.substr(0, text.find('='));
    if (std::find(without.begin(), without.end(), name) == without.end()) kept.push_back(std::move(text));
  }
  return kept;
}

}  // namespace hitfs
