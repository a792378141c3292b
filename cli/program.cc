#include "cli/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>

#include "store/base/subprocess.h"
#include "store/base/unique_fd.h"

namespace hitfs {

namespace {

// One stream of the program, as far as it has been read.
struct Stream {
  UniqueFd end;
  std::string text;
  bool ended = false;

  void read() {
    std::array<char, 4096> piece;
    auto got = ::read(end.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) return;
    ended = got <= 0;
    if (got > 0) text.append(piece.data(), static_cast<size_t>(got));
  }
};

Result<UniqueFd> open_pipe(Stream& stream) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return system_error("pipe", errno);
  stream.end.reset(ends[0]);
  return UniqueFd(ends[1]);
}

// The exit code; at the limit the child is killed.
int wait_for(pid_t child, const Deadline& until, bool& ended) {
  UniqueFd exited(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd polled{exited.get(), POLLIN, 0};
  while (ended && ::poll(&polled, 1, static_cast<int>(until.left().count())) <= 0) ended = !until.passed();
  if (!ended) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Reads both streams to their ends; false when that took too long, was too much, or was called off.
bool read_all(const ProgramCall& call, Stream& output, Stream& errors, const Deadline& until,
              const std::stop_token& stop) {
  UniqueFd called_off(::eventfd(0, EFD_CLOEXEC));
  const std::stop_callback wake(stop, [&] { ::eventfd_write(called_off.get(), 1); });
  while (!output.ended || !errors.ended) {
    if (until.passed() || stop.stop_requested()) return false;
    if (output.text.size() > call.most_output || errors.text.size() > call.most_output) return false;
    pollfd polled[] = {{output.ended ? -1 : output.end.get(), POLLIN, 0},
                       {errors.ended ? -1 : errors.end.get(), POLLIN, 0},
                       {called_off.get(), POLLIN, 0}};
    if (::poll(polled, 3, static_cast<int>(until.left().count())) <= 0) continue;
    if (polled[0].revents != 0) output.read();
    if (polled[1].revents != 0) errors.read();
  }
  return true;
}

}  // namespace

Result<ProgramEnd> run_program(const ProgramCall& call, const std::stop_token& stop) {
  Stream output, errors;
  auto output_end = open_pipe(output);
  if (!output_end) return std::move(output_end).error();
  auto errors_end = open_pipe(errors);
  if (!errors_end) return std::move(errors_end).error();
  SpawnOptions options;
  options.arguments = call.arguments;
  options.environment = call.environment;
  options.working_directory = call.directory;
  options.standard[0] = -1;
  options.standard[1] = output_end->get();
  if (call.keep_errors) options.standard[2] = errors_end->get();
  options.die_with_parent = true;
  options.new_group = call.own_group;
  auto child = spawn(options);
  if (!child) return std::move(child).error();
  output_end->reset();
  errors_end->reset();
  auto until = Deadline::after(call.limit);
  bool ended = read_all(call, output, errors, until, stop);
  if (!ended && call.own_group) ::kill(-*child, SIGKILL);
  int code = wait_for(*child, until, ended);
  if (!ended) {
    return Error{Code::unavailable,
                 "the command was not done after " + std::to_string(call.limit.count() / 1000) + " s"};
  }
  return ProgramEnd{code, std::move(output.text), std::move(errors.text)};
}

}  // namespace hitfs
