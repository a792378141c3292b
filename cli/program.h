#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/result.h"

namespace hitfs {

// A helper program that hitfs asks something: never through a shell unless the shell is the program.
struct ProgramCall {
  std::vector<std::string> arguments;    // [0] is looked up in PATH
  std::vector<std::string> environment;  // the whole of it
  std::string directory;                 // "" for ours
  Milliseconds limit{10'000};
  size_t most_output = 1 << 20;
  bool keep_errors = true;  // else its standard error is ours
  bool own_group = true;    // false for one that may ask a person at the terminal
};

struct ProgramEnd {
  int exit_code = 0;  // 128 + n for death by signal n
  std::string output;
  std::string errors;
};

// Runs it with no input and gives what it printed. `unavailable` when it was not done within the limit, printed more
// than it may, or `stop` was requested: then it is killed, with its group if it has one. `not_found` when there is no
// such program. From any thread.
Result<ProgramEnd> run_program(const ProgramCall& call, const std::stop_token& stop = {});

}  // namespace hitfs
