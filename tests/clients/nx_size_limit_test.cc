// nx's own size limit evicts from its cache folder, which is a mount: rows of its database and the files below them,
// while the rows of the shared database stay. Never may that make a hit without files, and it is housekeeping of this
// machine: other machines keep everything. With the stand-in for nx's shared-directory plugin (nx_shared_directory.js).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/clients/nx_directory.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/read_all.h"

namespace hitfs::testing {
namespace {

class NxSizeLimitTest : public NxDirectoryTest {};

TEST_P(NxSizeLimitTest, NeverMakesAHitWithoutFiles) {
  TeamServer server(folder_ / "server");
  const NxMachine machine(folder_ / "machine", &server);
  const NxWorkspace a = workspace("a");
  // Two of the three results, of 300 KB each, fit.
  std::string settings = read_all(a.folder() / "nx.json");
  settings.insert(settings.find('{') + 1, R"("maxCacheSize": "700KB",)");
  std::ofstream(a.folder() / "nx.json") << settings;
  ASSERT_EQ(machine.mount().code, 0);

  const std::string entries = "echo entries: $(ls -d \"$CACHE\"/[0-9]* | wc -l)";
  const Outcome built = machine.nx(a, kBuildAll, {}, entries);
  ASSERT_EQ(built.code, 0) << built.output;
  EXPECT_EQ(built.output.find("entries: 3"), std::string::npos) << "nx evicted nothing\n" << built.output;
  const auto hashes = hashes_of(a);
  expect_outputs_again(machine, a, "evicted by nx");
  expect_outputs_again(machine, a, "evicted by nx, and again");
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);

  const NxMachine other(folder_ / "other", &server);
  ASSERT_EQ(hashes.size(), 3u);
  other.pull(hashes);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxSizeLimitTest, nx_ends(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
