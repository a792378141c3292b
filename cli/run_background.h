#pragma once

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cli/build_list.h"
#include "cli/context.h"
#include "cli/foreground.h"
#include "cli/git.h"
#include "cli/nx/nx_run_watch.h"
#include "store/base/guarded.h"
#include "store/base/json.h"
#include "store/daemon_client.h"

namespace hitfs {

// What `hitfs run` does beside its command: a prewarm if one was asked for, and finding out which commit is being
// built, so that the build's run list can be published at the end. One thread of its own talks to git and the daemon;
// the command never waits for it. Make it before the command starts, in the folder of the command.
class RunBackground {
 public:
  // Both outlive it. `environment` is the command's.
  RunBackground(const Context& context, DaemonClient& daemon, const std::vector<std::string>& environment);
  // Ends what is under way.
  ~RunBackground();
  RunBackground(const RunBackground&) = delete;
  RunBackground& operator=(const RunBackground&) = delete;

  // Which tasks the command's nx had; before the mount goes.
  void collect_tasks();
  // After the command's end and before its session's: ends the prewarm, publishes the list and says what is to be said.
  // Waits for git at most `limit`. For the JSON summary: {prewarm?, list?}.
  Json finish(const std::string& session, const CommandEnd& end, Milliseconds limit);

 private:
  struct State {
    bool done = false;
    BuiltCommit built;
    std::string prewarm, prewarm_note;  // id of the job; what is to be said about its beginning
  };
  void work(const std::stop_token& stop);
  void prewarm(const std::stop_token& stop);
  void look_at_work_tree(const std::stop_token& stop);
  [[nodiscard]] GitRepository repository(const std::stop_token& stop) const;
  Json finish_prewarm(const State& state);
  Json publish(const State& state, const std::string& session, const CommandEnd& end);

  const Context& context_;
  DaemonClient& daemon_;
  std::optional<NxRunWatch> nx_runs_;
  Json::Array tasks_;
  Guarded<State> state_;
  std::jthread thread_;
};

}  // namespace hitfs
