// Never may nx report a hit and restore nothing: the files of a good build go in each way that a user, a tool or hitfs
// has, then nx runs again. With the stand-in for nx's shared-directory plugin (nx_shared_directory.js).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>

#include "store/base/json.h"
#include "tests/clients/nx_directory.h"
#include "tests/support/hitfs_program.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

class NxNewMountTest : public NxDirectoryTest {};
// With the oldest and the newest nx only: minutes with all.
class NxLostFilesTest : public NxDirectoryTest {};

// The files go in every way that a user, a tool or hitfs has; each time the rows must have gone before.
TEST_P(NxLostFilesTest, NeverAHitWithoutItsFiles) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a");
  // One mount that stays: what was removed in it stays removed.
  ASSERT_EQ(machine.mount().code, 0);
  const auto first = machine.nx(a, kBuildAll);
  ASSERT_EQ(first.code, 0) << first.output;
  const auto hashes = hashes_of(a);
  ASSERT_EQ(hashes.size(), 3u);
  expect_outputs_again(machine, a, "nothing lost");

  const struct {
    const char* what;
    std::string after;
  } in_the_mount[] = {
      {"rm -rf of every entry", "for d in \"$CACHE\"/[0-9]*; do rm -rf \"$d\"; done"},
      {"one file of each", "for d in \"$CACHE\"/[0-9]*; do find \"$d\" -type f | head -1 | xargs rm; done"},
      {"entries moved away", "for d in \"$CACHE\"/[0-9]*; do mv \"$d\" \"$d.gone\"; done"},
      {"outputs inside moved away", "for d in \"$CACHE\"/[0-9]*; do mv \"$d/dist\" \"$d/gone\"; done"},
      {"everything in the cache folder", "find \"$CACHE\" -mindepth 1 -delete"},
      {"nx reset", "node_modules/.bin/nx reset || :"},
  };
  for (const auto& way : in_the_mount) {
    const Outcome lost = machine.nx(a, kBuildAll, {}, way.after);
    EXPECT_EQ(lost.code, 0) << way.what << lost.output;
    expect_outputs_again(machine, a, way.what);
  }
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
  expect_outputs_again(machine, a, "unmounted and mounted again");
}

TEST_P(NxNewMountTest, ANewMountKnowsOnlyWhatTheStoreHas) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a");
  ASSERT_EQ(machine.nx(a, kBuildAll).code, 0);

  // The index is lost, the databases stay: hitfs begins a new one.
  ASSERT_EQ(stop_hitfs(machine.store()).code, 0);
  for (const char* part : {"index.db", "index.db-wal", "index.db-shm"}) fs::remove(machine.store() / part);
  expect_outputs_again(machine, a, "an index that was lost");

  ASSERT_EQ(stop_hitfs(machine.store()).code, 0);
  fs::remove_all(machine.store());
  expect_outputs_again(machine, a, "a store that was emptied");
}

// Entries that the store gives up while their mount lives, and nx's own database speaks of them.
TEST_P(NxLostFilesTest, WhatIsEvictedIsBuiltAgain) {
  NxMachine machine(folder_ / "machine");
  machine.set("HITFS_MAX_FILES", "16");
  const NxWorkspace a = workspace("a");
  ASSERT_EQ(machine.mount().code, 0);
  const Outcome built = machine.nx(a, kBuildAll);
  ASSERT_EQ(built.code, 0) << built.output;
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
  expect_outputs_again(machine, a, "evicted");
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

// With nx's own daemon, which keeps its database open for good.
TEST_P(NxLostFilesTest, NeverAHitWithoutItsFilesWithTheDaemonOfNx) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a");
  const std::map<std::string, std::string> daemon = {{"NX_DAEMON", "true"}};
  ASSERT_EQ(machine.mount().code, 0);
  const Outcome built = machine.nx(a, kBuildAll, daemon, "rm -rf \"$CACHE\"/[0-9]*");
  ASSERT_EQ(built.code, 0) << built.output;
  expect_outputs_again(machine, a, "removed in the mount", daemon);
  machine.nx(a, kBuildAll, daemon, "node_modules/.bin/nx daemon --stop || :");
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxNewMountTest, every_nx(), nx_test_name);
INSTANTIATE_TEST_SUITE_P(Versions, NxLostFilesTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
