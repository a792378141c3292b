#pragma once

#include <ctime>
#include <filesystem>
#include <string>

#include "cli/context.h"
#include "cli/git.h"
#include "store/base/json.h"
#include "store/daemon_client.h"

// The run list of a build: which commit it is of, and its publication at the end (sync/README.md, "Run lists").
namespace hitfs {

// What is being built, or why nobody knows.
struct BuiltCommit {
  std::string commit, why_not;
};
// Asks git which commit this is and whether the work tree is what the commit says.
[[nodiscard]] BuiltCommit built_commit(const Context& context, const GitRepository& repository);

struct BuildList {
  std::string session;
  BuiltCommit built;         // at the beginning of the build
  GitRepository repository;  // asked once more at its end
  bool complete = false;     // the build ended with success
  Json::Array tasks;         // {key, task}
};
// Publishes it, or says in CI why not; waits for the daemon 5 s at most. {commit, keys, part}, or null.
Json publish_list(const Context& context, DaemonClient& daemon, BuildList list);

// A build of several commands, from `hitfs start` to `hitfs stop`. The supervisor keeps it between the two; it never
// leaves the machine.
struct BegunBuild {
  std::filesystem::path folder;
  std::time_t began = 0;
  BuiltCommit built;
};
// In the current folder, now.
[[nodiscard]] BegunBuild begin_build(const Context& context);
[[nodiscard]] Json to_json(const BegunBuild& build);
// With an empty folder for what is no such thing.
[[nodiscard]] BegunBuild begun_build_from(const Json& json);

// Publishes the list of that build, with the names of the last nx command in its folder. `complete`: as in BuildList.
Json publish_begun(const Context& context, DaemonClient& daemon, const BegunBuild& build, const std::string& session,
                   bool complete);

// As they travel: [{key, task}].
struct NxTask;
[[nodiscard]] Json::Array tasks_json(const std::vector<NxTask>& tasks);

}  // namespace hitfs
