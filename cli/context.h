#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/config.h"
#include "cli/output.h"
#include "store/base/json.h"
#include "sync/options.h"

namespace hitfs {

// What a supervisor is to do besides what the configuration says.
struct SupervisorTask {
  std::optional<ListenerOptions> serve;
  bool started = false;  // as after `hitfs start`
};

// The programs that commands start: the same binary, known to wiring.cc; tests put others here.
struct Programs {
  std::string program;
  std::vector<std::string> supervisor_arguments;
  // The supervisor's options as JSON, tokens included: fetches them (see resolve_remotes).
  std::function<Result<Json>(const Config&, const SupervisorTask&)> supervisor_options;
  // Is the supervisor, in this process, until it ends.
  std::function<Status(const Json& options)> run_supervisor_here;
};

// All that a command has.
struct Context {
  const Arguments& arguments;
  const Config& config;
  const std::map<std::string, std::string>& environment;
  const Programs& programs;
  const Output& output;
};

// Reads the command line, loads the configuration, runs the command; returns the exit code.
int run_command_line(int count, const char* const* values, const Programs& programs);

// One file each: cmd_run.cc, ...
int cmd_run(const Context& context);
// `run` when the configuration is wrong: the command runs all the same.
int cmd_run_without_cache(const std::vector<std::string>& words, const std::string& why);
int cmd_start(const Context& context);
int cmd_stop(const Context& context);
int cmd_serve(const Context& context);
int cmd_mount(const Context& context);
int cmd_unmount(const Context& context);
int cmd_status(const Context& context);
int cmd_flush(const Context& context);
int cmd_prewarm(const Context& context);
int cmd_why(const Context& context);
int cmd_get(const Context& context);
int cmd_put(const Context& context);
int cmd_verify(const Context& context);
int cmd_config(const Context& context);
int cmd_init(const Context& context);
int cmd_token(const Context& context);

}  // namespace hitfs
