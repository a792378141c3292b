// What one machine stores through its mount is a hit on another, whose database knows nothing but what hitfs wrote, for
// each version of nx and between them. With the stand-in for nx's shared-directory plugin (nx_shared_directory.js).
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "tests/clients/nx_directory.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

class NxTableTest : public NxDirectoryTest {};

// Written by one version (the parameter), read by each.
TEST_P(NxTableTest, EveryVersionReadsWhatThisOneStored) {
  needs_every_nx();
  if (IsSkipped()) return;
  TeamServer server(folder_ / "server");
  const std::string writer = GetParam();
  const NxWorkspace a = workspace("a", writer);
  {
    const NxMachine machine(folder_ / "machine-a", &server);
    const Outcome built = machine.nx(a, kBuildAll);
    ASSERT_EQ(built.code, 0) << built.output;
    EXPECT_EQ(count(built.output, "\nbuilt "), 3u) << built.output;
    EXPECT_NE(built.output.find("3 pushed"), std::string::npos) << built.output;
    ASSERT_EQ(stop_hitfs(machine.store()).code, 0);
    fs::rename(machine.store(), folder_ / "away");
  }
  const auto hashes = hashes_of(a);
  ASSERT_EQ(hashes.size(), 3u);
  std::string row = "stored by " + writer + ", read by";
  for (const std::string& reader : kNxVersions) {
    const NxMachine machine(folder_ / ("machine-" + reader), &server);
    const NxWorkspace b = workspace("b-" + reader, reader);
    machine.pull(hashes);
    const Outcome restored = machine.nx(b, kBuildAll);
    EXPECT_EQ(restored.code, 0) << writer << " to " << reader << "\n" << restored.output;
    const size_t hits = count(restored.output, "[remote cache]");
    EXPECT_EQ(hits, 3u) << writer << " to " << reader << "\n" << restored.output;
    // 20.8 stores what a link leads to.
    const auto links = writer.starts_with("20.") ? Links::follow : Links::keep;
    const bool same = describe_tree(a.dist(), links) == describe_tree(b.dist(), links);
    EXPECT_TRUE(same) << writer << " to " << reader;
    EXPECT_EQ(count(restored.output, "\nbuilt "), 3u) << "terminal outputs\n" << restored.output;
    row += " " + reader + ": " + std::to_string(hits) + "/3" + (same ? " same" : " DIFFERENT");
  }
  printf("[ table    ] %s\n", row.c_str());
  EXPECT_EQ(enclosure_.mounts(), std::vector<std::string>{});
}

// A task that failed is nobody else's hit, on this machine as well as on others.
TEST_P(NxTableTest, FailuresStayOnTheirMachine) {
  TeamServer server(folder_ / "server");
  const NxMachine machine(folder_ / "machine", &server);
  const NxWorkspace a = workspace("a");
  const Outcome failed = machine.nx(a, {"run", "core:fail"}, {{"NX_CACHE_FAILURES", "true"}});
  EXPECT_EQ(failed.code, 1) << failed.output;
  EXPECT_NE(failed.output.find(" 0 pushed 0 refused 0 failed 0 pending"), std::string::npos) << failed.output;
  const Outcome again = machine.nx(a, {"run", "core:fail"}, {{"NX_CACHE_FAILURES", "true"}});
  EXPECT_EQ(again.code, 1) << again.output;
}

INSTANTIATE_TEST_SUITE_P(Versions, NxTableTest, every_nx(), nx_test_name);

// To 22.6 nx throws the database of another version away, and all of them share one file name: each version in turn
// must find what the first one stored, on one mount that stays.
class NxTurnsTest : public NxDirectoryTest {};

TEST_P(NxTurnsTest, VersionsTakeTurnsOnOneMount) {
  needs_every_nx();
  if (IsSkipped()) return;
  const NxMachine machine(folder_ / "machine");
  ASSERT_EQ(machine.mount().code, 0);
  const NxWorkspace a = workspace("a");
  const Outcome built = machine.nx(a, kBuildAll);
  ASSERT_EQ(built.code, 0) << built.output;
  ASSERT_EQ(machine.hitfs({"flush"}).code, 0);
  int turn = 0;
  for (const std::string reader : {"21.6.5", "20.8.2", "24.0.6", "22.6.5", "20.8.2"}) {
    const NxWorkspace b = workspace("turn-" + std::to_string(++turn), reader);
    const Outcome restored = machine.nx(b, kBuildAll);
    EXPECT_EQ(restored.code, 0) << reader << "\n" << restored.output;
    EXPECT_EQ(count(restored.output, "[remote cache]"), 3u) << reader << restored.output;
    EXPECT_EQ(describe_tree(a.dist(), Links::follow), describe_tree(b.dist(), Links::follow)) << reader;
  }
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxTurnsTest, ::testing::Values("22.6.5"), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
