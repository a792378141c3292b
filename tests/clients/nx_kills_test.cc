// Processes are killed while nx works through a mount, with the stand-in for its shared-directory plugin.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/clients/nx_directory.h"
#include "tests/support/eventually.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

class NxKillsTest : public NxDirectoryTest {
 protected:
  // A build that is killed into each time that as many of its tasks have written their output.
  Outcome build_under(const NxMachine& machine, const NxWorkspace& workspace, const std::vector<size_t>& after_tasks,
                      const std::function<pid_t(const Json& status)>& victim) {
    Process build(machine.job(workspace, kBuildAll));
    for (const size_t tasks : after_tasks) {
      const bool there = eventually([&] { return count(build.output(), "\nbuilt ") >= tasks; }, kNxMachineLimit);
      EXPECT_TRUE(there) << build.output();
      const Json status = machine.status();
      const pid_t pid = victim(status["supervisor"]);
      EXPECT_GT(pid, 1) << status.dump() << build.output();
      if (pid > 1) ::kill(pid, SIGKILL);
    }
    return build.wait(kNxMachineLimit);
  }
  static pid_t pid_of(const Json& process) { return static_cast<pid_t>(process["pid"].integer_or(0)); }

  // What the outputs must be.
  fs::path built_without_a_cache() {
    const NxWorkspace plain(folder_ / "plain", modules_, kProjects);
    const Outcome built = run(plain.nx(kBuildAll), kNxLimit);
    EXPECT_EQ(built.code, 0) << built.output;
    return plain.dist();
  }
  // Nothing was lost: another workspace has everything from the store.
  void expect_hits(const NxMachine& machine, const std::string& what) {
    const NxWorkspace other = many("other");
    const Outcome restored = machine.nx(other, kBuildAll);
    EXPECT_EQ(restored.code, 0) << restored.output;
    EXPECT_EQ(count(restored.output, "[remote cache]"), static_cast<size_t>(kProjects)) << what << restored.output;
    EXPECT_EQ(describe_tree(other.dist(), Links::follow), describe_tree(folder_ / "a/dist", Links::follow)) << what;
  }

  static constexpr int kProjects = 12;
  NxWorkspace many(const std::string& name) const { return workspace(name, GetParam(), kProjects); }
};

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

TEST_P(NxKillsTest, OfTheWorkerOfTheMountAreNotSeen) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = many("a");
  const Outcome built = build_under(machine, a, {1, 4, 7}, [](const Json& supervisor) {
    for (const auto& mount : supervisor["mounts"].items()) return pid_of(mount["worker"]);
    return pid_t{0};
  });
  EXPECT_EQ(built.code, 0) << built.output;
  EXPECT_EQ(describe_tree(a.dist()), describe_tree(built_without_a_cache())) << built.output;
  expect_outputs_again(machine, a, "after kills of the worker");
  expect_hits(machine, "after kills of the worker");
}

TEST_P(NxKillsTest, OfTheDaemonAreNotSeen) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = many("a");
  const Outcome built =
      build_under(machine, a, {1, 4, 7}, [](const Json& supervisor) { return pid_of(supervisor["daemon"]); });
  EXPECT_EQ(built.code, 0) << built.output;
  EXPECT_EQ(describe_tree(a.dist()), describe_tree(built_without_a_cache())) << built.output;
  expect_outputs_again(machine, a, "after kills of the daemon");
  expect_hits(machine, "after kills of the daemon");
}

// With the supervisor goes its mount (cli/README.md): nx fails, it does not hang, and the next start finds a free
// place.
TEST_P(NxKillsTest, OfTheSupervisorEndTheBuildAndTheNextOneIsRight) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = many("a");
  const Outcome killed = build_under(machine, a, {1}, &pid_of);
  EXPECT_FALSE(killed.timed_out) << killed.output;
  EXPECT_NE(killed.code, 0) << killed.output;
  EXPECT_NE(killed.output.find("ENOTCONN"), std::string::npos) << killed.output;
  // The tasks that nx 20.8 had started, each in a session of its own, go on writing for a moment.
  ASSERT_TRUE(enclosure_.nobody_works_in(a.folder(), kNxMachineLimit));
  fs::remove_all(a.dist());

  const Outcome again = machine.nx(a, kBuildAll);
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(describe_tree(a.dist()), describe_tree(built_without_a_cache())) << again.output;
  EXPECT_EQ(enclosure_.mounts(), std::vector<std::string>{});
}

INSTANTIATE_TEST_SUITE_P(Versions, NxKillsTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
