// nx with a cache server that is not there from the start, through the mount and through the endpoint: nx builds, and
// ends with 0. The mount with the stand-in for nx's shared-directory plugin (nx_shared_directory.js).
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "tests/clients/nx_directory.h"
#include "tests/support/fault_server.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

class NxServerFaultsTest : public NxDirectoryTest {
 protected:
  void TearDown() override { stop_hitfs(folder_ / "store", "0s"); }

  void builds_without(const std::string& remote) {
    const NxMachine::Environment settings = {{"HITFS_REMOTE", "nx+" + remote},
                                             {"HITFS_FIRST_BYTE_TIMEOUT", "500ms"},
                                             {"HITFS_FLUSH", "0s"},
                                             {"HITFS_FLUSH_CI", "0s"}};
    const NxWorkspace plain(folder_ / "plain", modules_);
    Command command = below_hitfs_run(folder_ / "store", plain.nx(kBuildAll));
    for (const auto& [name, value] : settings) command.environment[name] = value;
    const Outcome endpoint = run(command, kNxLimit);
    EXPECT_EQ(endpoint.code, 0) << endpoint.output;
    EXPECT_EQ(count(endpoint.output, "\nbuilt "), 3u) << endpoint.output;

    NxMachine machine(folder_ / "machine");
    for (const auto& [name, value] : settings) machine.set(name, value);
    const NxWorkspace a = workspace("a");
    const Outcome mount = machine.nx(a, kBuildAll);
    EXPECT_EQ(mount.code, 0) << mount.output;
    EXPECT_EQ(count(mount.output, "\nbuilt "), 3u) << mount.output;
    EXPECT_EQ(describe_tree(a.dist()), describe_tree(plain.dist()));
    expect_outputs_again(machine, a, "with the store of this machine alone");
  }
};

TEST_P(NxServerFaultsTest, BuildsWhereTheServerRefusesConnections) {
  builds_without("http://127.0.0.1:" + std::to_string(closed_port()));
}

INSTANTIATE_TEST_SUITE_P(Versions, NxServerFaultsTest, every_nx(), nx_test_name);

class NxSilentServerTest : public NxServerFaultsTest {};

TEST_P(NxSilentServerTest, BuildsWhereTheServerStaysSilent) {
  FaultServer server(faults::silent());
  builds_without("http://" + server.authority());
  EXPECT_GE(server.accepted(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxSilentServerTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
