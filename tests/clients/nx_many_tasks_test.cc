// 200 tasks from one machine to others that know no hash: stored through the mount of A, prewarmed by commit on B and
// C. With the stand-in for nx's shared-directory plugin (nx_shared_directory.js).
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/clients/nx_directory.h"
#include "tests/support/git_repository.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/memory_nx_server.h"
#include "tests/support/raw_http.h"
#include "tests/support/tools.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kTasks = 200;

class NxManyTasksTest : public NxDirectoryTest {
 protected:
  void SetUp() override {
    NxDirectoryTest::SetUp();
    if (IsSkipped()) return;
    HITFS_NEEDS(find_tool("git", "HITFS_TEST_GIT"), "git", "apt-get install git");
  }

  // All tasks on a machine with an empty store that is never seen again. nx begins when the prewarm is done.
  Outcome build_on(const std::string& name, const NxWorkspace& workspace) {
    fs::remove_all(workspace.dist());
    Outcome outcome;
    {
      NxMachine machine(folder_ / name);
      machine.set("HITFS_REMOTE", server_.url());
      machine.set("HITFS_PREWARM_BASE", "HEAD");
      outcome = machine.nx(workspace, {"run-many", "-t", "build", "--parallel=6"}, {}, ":", "\"$HITFS\" prewarm");
      EXPECT_EQ(stop_hitfs(machine.store()).code, 0);
    }
    fs::remove_all(folder_ / name);
    return outcome;
  }

  MemoryNxServer server_;
};

TEST_P(NxManyTasksTest, AreHitsOnAMachineThatKnowsTheCommitButOneThatTheServerLost) {
  const NxWorkspace work = workspace("work", GetParam(), kTasks);
  const GitRepository repository(work.folder());
  repository.commit("one");

  const Outcome built = build_on("a", work);
  ASSERT_EQ(built.code, 0) << built.output;
  EXPECT_EQ(count(built.output, "[remote cache]"), 0u) << built.output;
  EXPECT_NE(built.output.find("0 hit (0 prewarmed) 200 miss"), std::string::npos) << built.output;
  EXPECT_NE(built.output.find(" 200 pushed 0 refused 0 failed 0 pending"), std::string::npos) << built.output;
  const auto hashes = hashes_of(work);
  ASSERT_EQ(hashes.size(), static_cast<size_t>(kTasks));
  const auto outputs = describe_tree(work.dist(), Links::follow);

  const Outcome warm = build_on("b", work);
  EXPECT_EQ(warm.code, 0) << warm.output;
  EXPECT_EQ(count(warm.output, "[remote cache]"), 200u) << warm.output;
  EXPECT_NE(warm.output.find("200 hit (200 prewarmed) 0 miss"), std::string::npos) << warm.output;
  EXPECT_EQ(describe_tree(work.dist(), Links::follow), outputs);

  const auto& lost = hashes[kTasks / 2];
  ASSERT_EQ(request(server_.server().port(), "DELETE", "/v1/cache/" + lost, "").status, 204);
  const Outcome lacking = build_on("c", work);
  EXPECT_EQ(lacking.code, 0) << lacking.output;
  EXPECT_EQ(count(lacking.output, "[remote cache]"), 199u) << lacking.output;
  for (const char* part : {" 1 missing", "199 hit (199 prewarmed) 1 miss", " 1 pushed 0 refused 0 failed 0 pending"}) {
    EXPECT_NE(lacking.output.find(part), std::string::npos) << part << "\n" << lacking.output;
  }
  EXPECT_EQ(describe_tree(work.dist(), Links::follow), outputs);
  EXPECT_EQ(enclosure_.mounts(), std::vector<std::string>{});
}

// Half a minute and more for each.
INSTANTIATE_TEST_SUITE_P(Versions, NxManyTasksTest, ::testing::Values("24.0.6"), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
