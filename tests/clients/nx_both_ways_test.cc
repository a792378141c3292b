// Mount and endpoint at once in one job, as in a workspace that has nx's shared-directory plugin and the variables of a
// cache server: one store serves both. With the stand-in for that plugin (nx_shared_directory.js).
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/clients/nx_directory.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

class NxBothWaysTest : public NxDirectoryTest {
 protected:
  // All that hitfs is told of its server are nx's own variables.
  void configure(NxMachine& machine, const TeamServer& server) {
    machine.set("NX_SELF_HOSTED_REMOTE_CACHE_SERVER", server.url());
    machine.set("NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN", server.token());
  }
};

const std::string kHasEndpoint = "test -n \"$NX_SELF_HOSTED_REMOTE_CACHE_SERVER\"";

TEST_P(NxBothWaysTest, InCiTheMountServesElseTheEndpointDoes) {
  TeamServer server(folder_ / "server");
  const NxWorkspace a = workspace("a");
  {
    NxMachine machine(folder_ / "machine-a");
    configure(machine, server);
    const Outcome built = machine.nx(a, kBuildAll, {}, ":", kHasEndpoint);
    ASSERT_EQ(built.code, 0) << built.output;
    EXPECT_NE(built.output.find("nx uses the mount"), std::string::npos) << built.output;
    EXPECT_NE(built.output.find(" 3 pushed 0 refused 0 failed 0 pending"), std::string::npos) << built.output;
    ASSERT_EQ(stop_hitfs(machine.store()).code, 0);
    fs::rename(machine.store(), folder_ / "away");
  }

  // In one job: nx in CI asks the mount, which was told no key; nx outside of CI asks the endpoint, which pulls.
  NxMachine machine(folder_ / "machine-b");
  configure(machine, server);
  const NxWorkspace b = workspace("b");
  const std::string outside_ci =
      "echo outside; rm -rf dist; CI=false NX_CACHE_DIRECTORY=$PWD/.nx/cache NX_WORKSPACE_DATA_DIRECTORY= \"$@\" || "
      "code=$?";
  const Outcome job = machine.nx(b, {"run", "app:build"}, {}, outside_ci, kHasEndpoint);
  EXPECT_EQ(job.code, 0) << job.output;
  const std::string in_ci = job.output.substr(0, job.output.find("\noutside\n"));
  EXPECT_EQ(count(in_ci, "[remote cache]"), 0u) << job.output;
  EXPECT_EQ(count(job.output, "[remote cache]"), 3u) << job.output;
  EXPECT_EQ(describe_tree(a.dist(), Links::follow), describe_tree(b.dist(), Links::follow));
}

INSTANTIATE_TEST_SUITE_P(Versions, NxBothWaysTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
