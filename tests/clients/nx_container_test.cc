// nx where nothing of hitfs is there but the mount, as in a container that was given the cache folder and no store: the
// store is hidden behind an empty file system in a mount namespace of the job's own. With the stand-in for nx's
// shared-directory plugin (nx_shared_directory.js).
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/clients/nx_directory.h"
#include "tests/support/tools.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

class NxContainerTest : public NxDirectoryTest {
 protected:
  void SetUp() override {
    NxDirectoryTest::SetUp();
    if (IsSkipped()) return;
    HITFS_NEEDS(::geteuid() == 0, "the right to make a mount namespace", "run as root");
  }

  static Command in_container(const NxMachine& machine, const NxWorkspace& workspace) {
    const Command nx = workspace.nx(kBuildAll);
    Command command = nx;
    command.arguments = {"unshare", "--mount", "sh", "-c",
                         "mount -t tmpfs -o size=1m none \"$0\" && ! ls \"$0\"/* 2>/dev/null && exec \"$@\"",
                         machine.store()};
    command.arguments.insert(command.arguments.end(), nx.arguments.begin(), nx.arguments.end());
    command.environment["CI"] = "true";
    command.environment["NX_CACHE_DIRECTORY"] = machine.root();
    command.environment["NX_WORKSPACE_DATA_DIRECTORY"] = machine.root() / (".nx-" + GetParam() + "-000000000000000a");
    return command;
  }
};

TEST_P(NxContainerTest, StoresAndHitsWithNothingButTheMount) {
  TeamServer server(folder_ / "server");
  const NxWorkspace a = workspace("a");
  const NxWorkspace b = workspace("b");
  const NxMachine first(folder_ / "first", &server);
  ASSERT_EQ(first.mount().code, 0);
  const Outcome built = run(in_container(first, a), kNxMachineLimit);
  ASSERT_EQ(built.code, 0) << built.output;
  std::filesystem::copy_file(first.root() / "run.json", a.folder() / "run.json");
  const Outcome flushed = first.hitfs({"flush"});
  ASSERT_EQ(flushed.code, 0) << flushed.output;
  EXPECT_EQ(first.hitfs({"unmount", first.root()}).code, 0);

  const NxMachine second(folder_ / "second", &server);
  ASSERT_EQ(second.mount().code, 0);
  second.pull(hashes_of(a));
  const Outcome restored = run(in_container(second, b), kNxMachineLimit);
  EXPECT_EQ(restored.code, 0) << restored.output;
  EXPECT_EQ(count(restored.output, "[remote cache]"), 3u) << restored.output;
  EXPECT_EQ(describe_tree(a.dist(), Links::follow), describe_tree(b.dist(), Links::follow));
  EXPECT_EQ(second.hitfs({"unmount", second.root()}).code, 0);
  EXPECT_EQ(enclosure_.mounts(), std::vector<std::string>{});
}

INSTANTIATE_TEST_SUITE_P(Versions, NxContainerTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
