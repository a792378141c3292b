#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/unique_fd.h"

// Real programs in tests. Every program has its own process group, a log file instead of pipes (so that nothing blocks
// on a reader), a time limit, and an owner: whatever a test does, nothing that it started outlives it.
namespace hitfs::testing {

struct Command {
  std::vector<std::string> arguments;  // [0] is the program: a path, or a name on PATH
  // Added to the test's own environment; a value of nullopt removes the variable.
  std::map<std::string, std::optional<std::string>> environment;
  std::filesystem::path directory;  // working directory; empty: the test's own
  bool with_errors = true;          // false: stderr is thrown away
};

struct Outcome {
  int code = -1;           // the exit code, or 128 + the signal that ended the program
  bool timed_out = false;  // it was killed because its time was up
  std::string output;      // stdout, and stderr with it
};

// One running program. The kernel kills it when the test's process dies (PR_SET_PDEATHSIG); the destructor kills its
// whole process group and reaps it. Use from one thread, the one that started it.
class Process {
 public:
  // Ends the test program with an exception when the process cannot be made; a program that cannot be executed ends
  // with code 127 and its reason in the output.
  explicit Process(const Command& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running();
  // What it has printed so far.
  [[nodiscard]] std::string output() const;

  // To the program, or to its whole group as a terminal's Ctrl-C does.
  void signal(int number) const;
  void signal_group(int number) const;

  // Waits for the end; at the limit the group is killed and the outcome says so.
  Outcome wait(Milliseconds limit);
  // SIGTERM, then wait.
  Outcome stop(Milliseconds limit);

 private:
  bool wait_for_exit(Milliseconds limit);
  void reap();

  pid_t pid_ = -1;
  UniqueFd exit_event_;  // pidfd: readable at the end
  UniqueFd log_;
  std::optional<int> status_;
};

// Runs to the end, at most for `limit`.
Outcome run(const Command& command, Milliseconds limit);

// While it lives, processes that turn themselves into daemons become children of the test (child subreaper) instead of
// getting away. The destructor kills and reaps every descendant that is left, and detaches every mount below `folder`.
// Have one per test, declared before the processes and after the TempDir that is `folder`.
class Enclosure {
 public:
  explicit Enclosure(std::filesystem::path folder);
  ~Enclosure();
  Enclosure(const Enclosure&) = delete;
  Enclosure& operator=(const Enclosure&) = delete;

  // Command lines of descendants that run now: a test that promises to leave nothing behind asks for it.
  [[nodiscard]] std::vector<std::string> descendants() const;
  // Waits until no descendant has its working directory in `folder` any more: what a killed program had started may
  // live on for a moment, in a session of its own, and write. False after `limit`.
  [[nodiscard]] bool nobody_works_in(const std::filesystem::path& folder, Milliseconds limit) const;
  // Mount points below the folder.
  [[nodiscard]] std::vector<std::string> mounts() const;

 private:
  std::filesystem::path folder_;
};

// The receiving end of sd_notify: how a test learns, without asking again and again, that a service is ready. Keeps
// descriptors for the service too (FDSTORE=1, FDSTOREREMOVE=1), as systemd does.
class ReadySocket {
 public:
  // The socket is made in `folder`; give path() to the service as NOTIFY_SOCKET.
  explicit ReadySocket(const std::filesystem::path& folder);
  [[nodiscard]] std::string path() const { return path_; }
  // True when READY=1 came; false when the limit passed or `process` ended first.
  bool wait(Process& process, Milliseconds limit);

  // A service as its manager starts it: it notifies us and has what was kept for it until now.
  [[nodiscard]] Command as_service(Command command);
  [[nodiscard]] const std::map<std::string, UniqueFd>& kept() const { return kept_; }

 private:
  // One message, if there is one.
  std::optional<std::string> receive();
  void drain();

  std::string path_;
  UniqueFd socket_;
  std::map<std::string, UniqueFd> kept_;  // by name; inheritable, for as_service()
};

// A TCP port of 127.0.0.1 that was free a moment ago.
int free_port();

}  // namespace hitfs::testing
