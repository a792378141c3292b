// Two mounts of one store, each with databases of its own: what is stored through one is a hit on the other. With the
// stand-in for nx's shared-directory plugin (nx_shared_directory.js).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/clients/nx_directory.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

class NxTwoMountsTest : public NxDirectoryTest {};

TEST_P(NxTwoMountsTest, WorkspacesBuildAtOnceAndEachHasWhatTheOtherStored) {
  const NxMachine one(folder_ / "machine", nullptr, "cache-1");
  const NxMachine two(folder_ / "machine", nullptr, "cache-2");
  ASSERT_EQ(one.mount().code, 0);
  ASSERT_EQ(two.mount().code, 0);
  const NxWorkspace a = workspace("a");
  const NxWorkspace b = workspace("b");
  // app of b is another one: its result is stored through the second mount only.
  std::ofstream(b.folder() / "packages/app/src/source.txt") << "something else\n";
  {
    Process first(one.job(a, kBuildAll));
    Process second(two.job(b, kBuildAll));
    for (auto* process : {&first, &second}) {
      const Outcome outcome = process->wait(kNxMachineLimit);
      EXPECT_EQ(outcome.code, 0) << outcome.output;
    }
  }
  ASSERT_TRUE(fs::exists(a.dist() / "app/index.js"));
  EXPECT_EQ(describe_tree(a.dist(), Links::follow), describe_tree(b.dist(), Links::follow));
  ASSERT_EQ(one.hitfs({"flush"}).code, 0);

  // Fresh workspaces, so that nothing but the mounts knows of it; each builds what the other mount's one has built.
  const NxWorkspace c = workspace("c");
  const NxWorkspace d = workspace("d");
  std::ofstream(c.folder() / "packages/app/src/source.txt") << "something else\n";
  for (const auto& [machine, fresh] : {std::pair(&one, &c), std::pair(&two, &d)}) {
    const Outcome restored = machine->nx(*fresh, kBuildAll);
    EXPECT_EQ(restored.code, 0) << restored.output;
    EXPECT_EQ(count(restored.output, "[remote cache]"), 3u) << restored.output;
    EXPECT_EQ(describe_tree(fresh->dist(), Links::follow), describe_tree(a.dist(), Links::follow));
  }
  EXPECT_EQ(one.hitfs({"unmount", one.root()}).code, 0);
  EXPECT_EQ(two.hitfs({"unmount", two.root()}).code, 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxTwoMountsTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
