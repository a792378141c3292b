#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/clients/nx_workspace.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/process.h"

namespace hitfs::testing {

inline constexpr Milliseconds kNxMachineLimit{120'000};

// A machine in a folder of its own (store, mount point, home), whose jobs run nx with a mount as its cache folder.
class NxMachine {
 public:
  // Without a remote everything stays on this machine.
  explicit NxMachine(std::filesystem::path folder, const TeamServer* server = nullptr);
  ~NxMachine() { stop_hitfs(store(), "0s"); }
  NxMachine(const NxMachine&) = delete;
  NxMachine& operator=(const NxMachine&) = delete;

  [[nodiscard]] std::filesystem::path store() const { return folder_ / "store"; }
  [[nodiscard]] std::filesystem::path root() const { return root_; }

  // A variable of everything that is run here from now on.
  void set(const std::string& variable, const std::string& value) { settings_[variable] = value; }

  Outcome hitfs(std::vector<std::string> arguments) const;
  // A mount that stays between jobs.
  Outcome mount() const { return hitfs({"mount", root(), "--layout", "nx"}); }

  using Environment = std::map<std::string, std::string>;
  // A CI job: `nx ARGUMENTS` below `hitfs run --mount`. `after` is a shell command that runs in it afterwards, with
  // $CACHE as the mount point, whatever nx said; "$@" in it is the call of nx.
  Outcome nx(const NxWorkspace& workspace, const std::vector<std::string>& arguments,
             const Environment& environment = {}, const std::string& after = ":") const;
  [[nodiscard]] Command job(const NxWorkspace& workspace, const std::vector<std::string>& arguments,
                            const Environment& environment = {}, const std::string& after = ":") const;

  // Pulls by key, as a prewarm does.
  void pull(const std::vector<std::string>& hashes) const;

 private:
  [[nodiscard]] Command configured(std::vector<std::string> arguments) const;

  std::filesystem::path folder_, root_;
  const TeamServer* server_;
  Environment settings_;
};

// The hashes of the tasks of the last job in a workspace: nx keeps them in its cache folder, a job copies them.
[[nodiscard]] std::vector<std::string> hashes_of(const NxWorkspace& workspace);

}  // namespace hitfs::testing
