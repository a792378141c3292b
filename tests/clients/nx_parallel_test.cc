// nx at work in several workspaces at once, on mounts of one machine, with the stand-in for its shared-directory
// plugin.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/clients/nx_directory.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

class NxParallelTest : public NxDirectoryTest {};

// Two workspaces whose tasks have different hashes, on one mount that stays: it is one folder for both.
TEST_P(NxParallelTest, TwoWorkspacesBuildAtOnceOnOneMount) {
  const NxMachine machine(folder_ / "machine");
  ASSERT_EQ(machine.mount().code, 0);
  const NxWorkspace a = workspace("a");
  const NxWorkspace b = workspace("b");
  for (const char* project : {"core", "ui", "app"}) {
    std::ofstream(b.folder() / "packages" / project / "src/source.txt", std::ios::app) << "another content\n";
  }
  const auto by_hand = [&](const NxWorkspace& workspace, const std::string& id) {
    Command command = workspace.nx(kBuildAll);
    command.environment["CI"] = "true";
    command.environment["NX_CACHE_DIRECTORY"] = machine.root();
    command.environment["NX_WORKSPACE_DATA_DIRECTORY"] = machine.root() / (".nx-" + GetParam() + "-" + id);
    return command;
  };
  for (int round = 0; round < 3; ++round) {
    Process one(by_hand(a, "000000000000000a"));
    Process other(by_hand(b, "000000000000000b"));
    for (auto* process : {&one, &other}) {
      const Outcome outcome = process->wait(kNxMachineLimit);
      EXPECT_EQ(outcome.code, 0) << outcome.output;
      EXPECT_EQ(count(outcome.output, "[remote cache]") + count(outcome.output, "[local cache]"), round == 0 ? 0u : 3u)
          << outcome.output;
    }
    EXPECT_EQ(describe_tree(a.dist(), Links::follow), describe_tree(b.dist(), Links::follow));
    ASSERT_TRUE(fs::exists(b.dist()));
    fs::remove_all(a.dist());
    fs::remove_all(b.dist());
  }
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

// Two jobs at once that store the same hashes. In one folder nx's own steps collide (ENOTEMPTY, exit code 1), so each
// job has a mount to itself.
TEST_P(NxParallelTest, TwoJobsAtOnceStoreTheSameTasks) {
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
