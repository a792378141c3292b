// nx started by hand on a mount: only NX_CACHE_DIRECTORY says where it is, so nx's own database lies in the workspace.
// With the stand-in for its shared-directory plugin (nx_shared_directory.js) and without.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "store/base/json.h"
#include "tests/clients/nx_directory.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

Command by_hand(const NxMachine& machine, const NxWorkspace& workspace, bool plugin) {
  Command command = workspace.nx(kBuildAll);
  command.environment["NX_CACHE_DIRECTORY"] = machine.root();
  if (plugin) command.environment["CI"] = "true";
  return command;
}

class NxByHandTest : public NxDirectoryTest {
 protected:
  void expect_built(const NxMachine& machine, const NxWorkspace& workspace, bool plugin, const std::string& what) {
    fs::remove_all(workspace.dist());
    const Outcome again = run(by_hand(machine, workspace, plugin), kNxMachineLimit);
    EXPECT_EQ(again.code, 0) << what << "\n" << again.output;
    EXPECT_TRUE(fs::exists(workspace.dist() / "app/index.js")) << what << ": a hit without files\n" << again.output;
  }
};

TEST_P(NxByHandTest, NeverAHitWithoutItsFiles) {
  for (bool plugin : {true, false}) {
    const std::string way = plugin ? "with the plugin" : "without";
    const NxMachine machine(folder_ / way);
    const NxWorkspace a = workspace("a " + way);
    ASSERT_EQ(machine.mount().code, 0);
    const auto first = run(by_hand(machine, a, plugin), kNxMachineLimit);
    ASSERT_EQ(first.code, 0) << first.output;
    expect_built(machine, a, plugin, way + ": nothing lost");
    for (const auto& entry : fs::directory_iterator(machine.root())) {
      if (entry.path().filename().string().find_first_not_of("0123456789") == std::string::npos) {
        fs::remove_all(entry.path());
      }
    }
    expect_built(machine, a, plugin, way + ": removed in the mount");
    ASSERT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
    expect_built(machine, a, plugin, way + ": the mount is not there");
    fs::remove_all(machine.root());
    ASSERT_EQ(machine.mount().code, 0);
    expect_built(machine, a, plugin, way + ": mounted again");
    ASSERT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
  }
}

TEST_P(NxByHandTest, WhatIsEvictedIsBuiltAgain) {
  NxMachine machine(folder_ / "machine");
  machine.set("HITFS_MAX_FILES", "16");
  const NxWorkspace a = workspace("a");
  ASSERT_EQ(machine.mount().code, 0);
  const auto first = run(by_hand(machine, a, true), kNxMachineLimit);
  ASSERT_EQ(first.code, 0) << first.output;
  ASSERT_EQ(machine.hitfs({"flush"}).code, 0);
  int64_t evicted = 0;
  for (int i = 0; i < 40 && evicted == 0; ++i) {
    std::ofstream(folder_ / "other") << i;
    machine.hitfs({"put", "00000000000000" + std::to_string(10 + i), folder_ / "other"});
    auto status = Json::parse(machine.hitfs({"status", "--json"}).output);
    ASSERT_TRUE(status);
    evicted = std::as_const(*status)["store"]["evicted_entries"].integer_or(0);
  }
  ASSERT_GE(evicted, 1);
  expect_built(machine, a, true, "evicted");
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxByHandTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
