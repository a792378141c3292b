// `nx reset` where the cache folder is a mount: nx itself cannot remove a mount point (EBUSY), and nothing that is left
// falsifies what comes afterwards. With the stand-in for nx's shared-directory plugin (nx_shared_directory.js).
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/clients/nx_directory.h"

namespace hitfs::testing {
namespace {

class NxResetTest : public NxDirectoryTest {
 protected:
  // Builds, resets with `flags`, and looks at what the next build does.
  void reset(const NxMachine& machine, const NxWorkspace& workspace, const std::string& flags, bool whole_cache,
             const NxMachine::Environment& environment = {}) {
    const Outcome outcome = machine.nx(workspace, kBuildAll, environment,
                                       "node_modules/.bin/nx reset " + flags + "; echo \"reset ended with $?\"");
    EXPECT_EQ(outcome.code, 0) << flags << "\n" << outcome.output;
    const bool refused = outcome.output.find("EBUSY") != std::string::npos;
    EXPECT_EQ(refused, whole_cache) << flags << "\n" << outcome.output;
    const char* end = whole_cache ? "reset ended with 1" : "reset ended with 0";
    EXPECT_NE(outcome.output.find(end), std::string::npos) << flags << "\n" << outcome.output;
    expect_outputs_again(machine, workspace, "after nx reset " + flags, environment);
  }
};

TEST_P(NxResetTest, FalsifiesNothing) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a");
  ASSERT_EQ(machine.mount().code, 0);
  reset(machine, a, "", true);
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxResetTest, nx_ends(), nx_test_name);

class NxResetEndsTest : public NxResetTest {};

TEST_P(NxResetEndsTest, OfTheWorkspaceDataFalsifiesNothing) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a");
  ASSERT_EQ(machine.mount().code, 0);
  reset(machine, a, "--only-workspace-data", false);
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

TEST_P(NxResetEndsTest, FalsifiesNothingWithTheDaemonOfNx) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a");
  const NxMachine::Environment daemon = {{"NX_DAEMON", "true"}};
  ASSERT_EQ(machine.mount().code, 0);
  reset(machine, a, "", true, daemon);
  machine.nx(a, kBuildAll, daemon, "node_modules/.bin/nx daemon --stop || :");
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxResetEndsTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
