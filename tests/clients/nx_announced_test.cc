// A prewarm that could not bring everything, and real nx with the stand-in for its shared-directory plugin: from 23.3
// an entry that a run list names is a hit on demand; to 22.6, where a row alone is a hit, it is built.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/clients/nx_versions.h"
#include "tests/clients/nx_workspace.h"
#include "tests/support/git_repository.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

// One commit, built on machine A with a server behind it; then A is gone.
class NxAnnouncedTest : public NxVersionTest {
 protected:
  void SetUp() override {
    NxVersionTest::SetUp();
    if (IsSkipped()) return;
    HITFS_NEEDS(find_tool("git", "HITFS_TEST_GIT"), "git", "apt-get install git");
    fs::create_directories(folder_ / "share");
    workspace_ = std::make_unique<NxWorkspace>(folder_ / "work", modules_);
    workspace_->add_shared_directory_plugin();
    repository_ = std::make_unique<GitRepository>(folder_ / "work");
    repository_->write(".gitignore", "node_modules\ndist\n.nx\n");
    repository_->commit("one");
    const Outcome stored = build("a", ":");
    ASSERT_EQ(stored.code, 0) << stored.output;
    ASSERT_EQ(count(stored.output, "\nbuilt "), 3u) << stored.output;
    ASSERT_EQ(stop_hitfs(folder_ / "a/store").code, 0);
    built_ = describe_tree(workspace_->dist());
    fs::rename(folder_ / "a", folder_ / "away");
    fs::remove_all(workspace_->dist());
  }
  void TearDown() override {
    if (!IsSkipped()) stop_hitfs(folder_ / "b/store", "0s");
  }

  // `nx run-many -t build` in a mount of that machine, after the shell command `before`.
  Outcome build(const std::string& machine, const std::string& before) {
    fs::create_directories(folder_ / machine);
    const Command nx = workspace_->nx({"run-many", "-t", "build"});
    Command command = hitfs({"run", "--mount", folder_ / machine / "cache", "--layout", "nx", "--require", "mount",
                             "--", "sh", "-c", before + " && \"$@\"", "sh"},
                            folder_ / machine);
    command.arguments.insert(command.arguments.end(), nx.arguments.begin(), nx.arguments.end());
    command.environment.insert(nx.environment.begin(), nx.environment.end());
    command.environment.erase("NX_CACHE_DIRECTORY");
    command.environment["CI"] = "true";
    command.environment["HITFS"] = command.arguments.front();
    command.environment["HITFS_STORE"] = folder_ / machine / "store";
    command.environment["HITFS_REMOTE"] = "file://" + (folder_ / "share").string();
    command.environment["HITFS_FLUSH"] = command.environment["HITFS_FLUSH_CI"] = "60s";
    command.directory = repository_->folder();
    return run(command, kNxLimit);
  }
  // A prewarm that looks the list up and has no room for what it names.
  static std::string prewarm_nothing() { return "\"$HITFS\" prewarm --max-bytes 1"; }
  [[nodiscard]] bool promises() const { return GetParam() >= std::string("23.3"); }

  std::unique_ptr<NxWorkspace> workspace_;
  std::unique_ptr<GitRepository> repository_;
  std::map<std::string, std::string> built_;  // by A
};

TEST_P(NxAnnouncedTest, WhatThePrewarmLeftOutIsAHitOnDemand) {
  const Outcome restored = build("b", prewarm_nothing());
  EXPECT_EQ(restored.code, 0) << restored.output;
  EXPECT_NE(restored.output.find("prewarmed 0 of 3"), std::string::npos) << restored.output;
  EXPECT_EQ(count(restored.output, "[remote cache]"), promises() ? 3u : 0u) << restored.output;
  EXPECT_EQ(describe_tree(workspace_->dist()), built_) << restored.output;
}

// The list names what the server no longer has.
TEST_P(NxAnnouncedTest, WhatIsGoneIsBuiltAndStoredAgain) {
  for (const auto& file : fs::recursive_directory_iterator(folder_ / "share")) {
    if (file.is_regular_file() && std::ifstream(file.path()).peek() != '{') fs::remove(file.path());
  }
  const Outcome again = build("b", prewarm_nothing());
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_NE(again.output.find("prewarmed 0 of 3"), std::string::npos) << again.output;
  EXPECT_EQ(count(again.output, "[remote cache]"), 0u) << again.output;
  EXPECT_EQ(describe_tree(workspace_->dist()), built_) << again.output;
  EXPECT_NE(again.output.find(" 3 pushed"), std::string::npos) << again.output;
  // In the next run of this machine all are there.
  fs::remove_all(workspace_->dist());
  const Outcome third = build("b", ":");
  EXPECT_EQ(third.code, 0) << third.output;
  EXPECT_EQ(count(third.output, "\nbuilt "), 3u) << "terminal outputs\n" << third.output;
  EXPECT_GE(count(third.output, "[remote cache]") + count(third.output, "[local cache]"), 3u) << third.output;
  EXPECT_EQ(describe_tree(workspace_->dist()), built_) << third.output;
}

INSTANTIATE_TEST_SUITE_P(Versions, NxAnnouncedTest, ::testing::Values("20.8.2", "22.6.5", "23.3.2", "24.0.6"),
                         nx_test_name);

}  // namespace
}  // namespace hitfs::testing
