// Processes are killed while nx works through a mount, with the stand-in for its shared-directory plugin.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/clients/nx_directory.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

class NxKillsTest : public NxDirectoryTest {};

// nx is killed after each step of a store; the next run must not believe what stands there then.
TEST_P(NxKillsTest, AnNxKilledInTheMiddleOfAStoreLeavesNoWrongHit) {
  for (const char* step : {"1", "2", "3"}) {
    const NxMachine machine(folder_ / ("machine-" + std::string(step)));
    const NxWorkspace a = workspace("a" + std::string(step));
    const Outcome killed = machine.nx(a, {"run", "core:build"}, {{"HITFS_TEST_STORE_ENDS", step}},
                                      "rm -rf dist; env -u HITFS_TEST_STORE_ENDS \"$@\"; echo second: $?");
    EXPECT_NE(killed.code, 0) << killed.output;
    // Once in the same mount, whose worker sees that the process is dead, and once in the next one.
    EXPECT_NE(killed.output.find("second: 0"), std::string::npos) << step << killed.output;
    EXPECT_TRUE(fs::exists(a.dist() / "core/index.js")) << "in the same mount, step " << step << "\n" << killed.output;
    EXPECT_NE(machine.nx(a, {"run", "ui:build"}, {{"HITFS_TEST_STORE_ENDS", step}}).code, 0);
    fs::remove_all(a.dist());
    const Outcome again = machine.nx(a, {"run", "ui:build"});
    EXPECT_EQ(again.code, 0) << again.output;
    EXPECT_TRUE(fs::exists(a.dist() / "ui/index.js")) << "killed after step " << step << "\n" << again.output;
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, NxKillsTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
