#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace hitfs::testing {

// The node_modules of a pinned nx (scripts/test-tools.sh), below HITFS_TEST_TOOLS if that is set; nullopt when missing.
std::optional<std::filesystem::path> nx_modules(const std::string& version);

// A workspace of tests/clients/make_workspace.js: two of them have the same task hashes.
class NxWorkspace {
 public:
  NxWorkspace(std::filesystem::path folder, const std::filesystem::path& modules, int projects = 3);

  // `nx ARGUMENTS` with plain output, no daemon of nx's own, and a cache folder inside the workspace.
  [[nodiscard]] Command nx(std::vector<std::string> arguments) const;
  // Gives it the stand-in for nx's shared-directory plugin (nx_shared_directory.js), active where CI is set.
  void add_shared_directory_plugin();
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  // Where the builds write.
  [[nodiscard]] std::filesystem::path dist() const { return folder_ / "dist"; }

 private:
  std::filesystem::path folder_, modules_;
};

}  // namespace hitfs::testing
