#pragma once

#include <functional>

#include "cli/supervisor/control_client.h"
#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/store_paths.h"

namespace hitfs {

// Starts `arguments` "--config-fd 3 --ready-fd 4" as a detached process with `config`; its standard error is
// <store>/supervisor.log. Returns when it says (one line of JSON on the ready descriptor) that it listens, or why not.
struct SupervisorCommand {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  Json config;
};

// Connects to the supervisor of the store, starting one with `command()` when there is none. Of two starters at once
// one wins and both connect to it; one that is ending is waited for. Makes the store's folder (0700) when it is
// missing.
Result<ControlClient> reach_supervisor(const StorePaths& store,
                                       const std::function<Result<SupervisorCommand>()>& command,
                                       const Deadline& until);

// Makes the folder (0700) when it is missing; `permission_denied` for one of another user.
Status make_store_folder(const StorePaths& store);

// Waits until no supervisor holds the store.
Status wait_until_free(const StorePaths& store, const Deadline& until);

// The other side: what a supervisor tells its starter.
void report_ready(int ready_fd);
void report_failure(int ready_fd, const Error& error);

}  // namespace hitfs
