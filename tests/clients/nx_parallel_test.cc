// nx at work in several workspaces at once, on mounts of one machine, with the stand-in for its shared-directory
// plugin.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/clients/nx_directory.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

class NxParallelTest : public NxDirectoryTest {};

// Two jobs at once, of two workspaces, on one mount: each gets its outputs, whoever is first.
TEST_P(NxParallelTest, TwoWorkspacesBuildAtOnceOnOneMount) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a");
  const NxWorkspace b = workspace("b");
  for (int round = 0; round < 3; ++round) {
    Process one(machine.job(a, kBuildAll));
    Process other(machine.job(b, kBuildAll));
    for (auto* process : {&one, &other}) {
      const Outcome outcome = process->wait(kNxMachineLimit);
      EXPECT_EQ(outcome.code, 0) << outcome.output;
    }
    EXPECT_EQ(describe_tree(a.dist(), Links::follow), describe_tree(b.dist(), Links::follow));
    ASSERT_TRUE(fs::exists(b.dist()));
    fs::remove_all(a.dist());
    fs::remove_all(b.dist());
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, NxParallelTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
