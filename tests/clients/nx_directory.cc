#include "tests/clients/nx_directory.h"

#include "tests/support/tools.h"
#include "tests/support/tree.h"

namespace hitfs::testing {

void NxDirectoryTest::needs_every_nx() {
  for (const std::string& version : kNxVersions) {
    HITFS_NEEDS(nx_modules(version), "nx " + version, "scripts/test-tools.sh");
  }
}

NxWorkspace NxDirectoryTest::workspace(const std::string& name, const std::string& version, int projects) const {
  NxWorkspace made(folder_ / name, *nx_modules(version), projects);
  made.add_shared_directory_plugin();
  return made;
}

void NxDirectoryTest::expect_outputs_again(const NxMachine& machine, const NxWorkspace& workspace,
                                           const std::string& what, const NxMachine::Environment& environment) {
  const auto before = describe_tree(workspace.dist(), Links::follow);
  std::filesystem::remove_all(workspace.dist());
  const Outcome again = machine.nx(workspace, kBuildAll, environment);
  EXPECT_EQ(again.code, 0) << what << "\n" << again.output;
  ASSERT_TRUE(std::filesystem::exists(workspace.dist())) << what << ": a hit without files\n" << again.output;
  EXPECT_EQ(describe_tree(workspace.dist(), Links::follow), before) << what << "\n" << again.output;
}

}  // namespace hitfs::testing
