#pragma once

namespace hitfs {

// What the exit code of a hitfs command says; the same table stands in cli/README.md. `hitfs run` returns what its
// command returned (128 + n for death by signal n, as the same signal where that is possible), and of its own only
// 125, 126 and 127, as env(1), nice(1) and timeout(1) do.
enum ExitCode : int {
  kDone = 0,
  kAnswerIsNo = 1,     // get: not in any cache; verify: damage was found; flush, stop: uploads are left
  kUsage = 2,          // the command line is wrong
  kConfiguration = 3,  // a file, variable or flag holds what hitfs refuses
  kUnavailable = 4,    // hitfs, its store or a remote cannot do it now
  kFailed = 5,         // a system call failed, or a bug
  kRunRefused = 125,   // run --require: what is required is not there; the command was not run
  kNotExecutable = 126,
  kCommandNotFound = 127,
};

}  // namespace hitfs
