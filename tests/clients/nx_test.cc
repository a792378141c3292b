#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/clients/nx_versions.h"
#include "tests/clients/nx_workspace.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"
#include "tests/support/tree.h"

// The main job with the real client: built on machine A, restored on machine B, over the endpoint and a team server.
namespace hitfs::testing {
namespace {

class NxTest : public NxVersionTest {
 protected:
  // `nx ARGUMENTS` in `workspace` below `hitfs run`, on a machine with this store.
  Outcome nx_below_hitfs(const NxWorkspace& workspace, const std::filesystem::path& store,
                         std::vector<std::string> arguments, const TeamServer& server) {
    Command command = workspace.nx(std::move(arguments));
    command.environment["NX_SELF_HOSTED_REMOTE_CACHE_SERVER"] = server.url();
    command.environment["NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN"] = server.token();
    command.environment["HITFS_FLUSH"] = server.running() ? "60s" : "0s";
    return run(below_hitfs_run(store, std::move(command)), kNxLimit);
  }

  // Links become files and folders in artifacts of nx 20.8, which follows them.
  [[nodiscard]] Links links() const { return GetParam().starts_with("20.") ? Links::follow : Links::keep; }
};

const std::vector<std::string> kBuildAll = {"run-many", "-t", "build"};

TEST_P(NxTest, RestoresOnBWhatWasBuiltOnA) {
  TeamServer server(folder_ / "server");
  const NxWorkspace a(folder_ / "a", modules_);
  const NxWorkspace b(folder_ / "b", modules_);

  const Outcome built = nx_below_hitfs(a, folder_ / "store-a", kBuildAll, server);
  ASSERT_EQ(built.code, 0) << built.output;
  EXPECT_EQ(count(built.output, "[remote cache]"), 0u) << built.output;
  EXPECT_EQ(count(built.output, "\nbuilt "), 3u) << built.output;

  // Nothing of machine A may help B.
  ASSERT_EQ(stop_hitfs(folder_ / "store-a").code, 0);
  std::filesystem::rename(folder_ / "store-a", folder_ / "away");

  const Outcome restored = nx_below_hitfs(b, folder_ / "store-b", kBuildAll, server);
  EXPECT_EQ(restored.code, 0) << restored.output;
  EXPECT_EQ(count(restored.output, "[remote cache]"), 3u) << restored.output;
  EXPECT_EQ(describe_tree(a.dist(), links()), describe_tree(b.dist(), links()));
  EXPECT_EQ(stop_hitfs(folder_ / "store-b").code, 0);
  EXPECT_EQ(enclosure_.mounts(), std::vector<std::string>{});
}

TEST_P(NxTest, UsesTheTeamServerWithoutHitfsOnTheClient) {
  TeamServer server(folder_ / "server");
  const NxWorkspace a(folder_ / "a", modules_);
  const NxWorkspace b(folder_ / "b", modules_);
  for (const NxWorkspace* workspace : {&a, &b}) {
    Command command = workspace->nx(kBuildAll);
    command.environment["NX_SELF_HOSTED_REMOTE_CACHE_SERVER"] = server.url();
    command.environment["NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN"] = server.token();
    const Outcome outcome = run(command, kNxLimit);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_EQ(count(outcome.output, "[remote cache]"), workspace == &a ? 0u : 3u) << outcome.output;
  }
  EXPECT_EQ(describe_tree(a.dist(), links()), describe_tree(b.dist(), links()));
}

TEST_P(NxTest, BuildsWithoutItsServerAndKeepsTheExitCodeOfAFailure) {
  TeamServer server(folder_ / "server");
  server.kill();
  const NxWorkspace a(folder_ / "a", modules_);

  const Outcome built = nx_below_hitfs(a, folder_ / "store-a", kBuildAll, server);
  EXPECT_EQ(built.code, 0) << built.output;
  EXPECT_EQ(count(built.output, "\nbuilt "), 3u) << built.output;

  // Another workspace on the same machine: the local store alone answers.
  const NxWorkspace again(folder_ / "again", modules_);
  const Outcome local = nx_below_hitfs(again, folder_ / "store-a", kBuildAll, server);
  EXPECT_EQ(local.code, 0) << local.output;
  EXPECT_EQ(count(local.output, "[remote cache]"), 3u) << local.output;

  const Outcome failed = nx_below_hitfs(a, folder_ / "store-a", {"run", "core:fail"}, server);
  EXPECT_EQ(failed.code, 1) << failed.output;
  EXPECT_EQ(count(failed.output, "Misconfigured remote cache endpoint"), 0u) << failed.output;
  // What was built waits for the server; stop says so.
  EXPECT_EQ(stop_hitfs(folder_ / "store-a", "0s").code, 1);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxTest, every_nx(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
