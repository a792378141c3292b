#pragma once

#include <string>
#include <vector>

#include "tests/clients/nx_machine.h"
#include "tests/clients/nx_versions.h"
#include "tests/clients/nx_workspace.h"

// Tests of nx with a mount as its cache folder and, in the place of its shared-directory plugin, a stand-in on nx's own
// MIT-licensed API (nx_shared_directory.js). No commercial package was examined.
namespace hitfs::testing {

inline const std::vector<std::string> kBuildAll = {"run-many", "-t", "build"};

// For what takes minutes with all five: the oldest and the newest.
[[nodiscard]] inline auto nx_ends() { return ::testing::Values("20.8.2", "24.0.6"); }

class NxDirectoryTest : public NxVersionTest {
 protected:
  // Skips unless all five are here; return if IsSkipped().
  static void needs_every_nx();

  // A workspace with the stand-in, of the version of this test or of another.
  [[nodiscard]] NxWorkspace workspace(const std::string& name, const std::string& version = GetParam(),
                                      int projects = 3) const;

  // Runs again with the outputs gone: they must be there afterwards, wherever they come from.
  void expect_outputs_again(const NxMachine& machine, const NxWorkspace& workspace, const std::string& what,
                            const NxMachine::Environment& environment = {});
};

}  // namespace hitfs::testing
