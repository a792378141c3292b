#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "store/base/result.h"

namespace hitfs {

struct SpawnOptions {
  std::vector<std::string> arguments;    // [0] is the program, looked up in PATH when it has no '/' ...
  std::string program;                   // ... unless this names it
  std::vector<std::string> environment;  // the whole of it, "NAME=value"
  // The n-th becomes descriptor 3 + n of the child; 0, 1 and 2 follow `standard`, all others are closed.
  std::vector<int> descriptors;
  int standard[3] = {0, 1, 2};        // what becomes 0, 1, 2; -1 is /dev/null
  bool keep_all_descriptors = false;  // instead: the child inherits what is not O_CLOEXEC (a user's command)
  // A user's command gets the signals as we got them: this mask, dispositions untouched. Else the child starts with
  // none blocked and all at their default.
  std::optional<sigset_t> signal_mask;
  bool die_with_parent = false;  // SIGKILL when the thread that spawned it ends (PR_SET_PDEATHSIG): spawn from main
  bool new_group = false;        // leads a process group of its own
  bool detach = false;           // a session of its own, adopted by init; the returned id is 0
  std::string working_directory;
};

// Starts a program; returns its process id once exec succeeded. Errors: `not_found` and `permission_denied` from exec.
// Safe in a process with threads: between fork and exec only async-signal-safe calls are made.
Result<pid_t> spawn(const SpawnOptions& options);

// "NAME=value" of this process, without the names in `without`.
[[nodiscard]] std::vector<std::string> environment_without(const std::vector<std::string>& without);

// The file of the running program, for starting itself again: the very same, also after an upgrade replaced its name.
constexpr const char* kOwnProgram = "/proc/self/exe";

}  // namespace hitfs
