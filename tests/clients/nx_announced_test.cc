// A prewarm that could not bring everything, and real nx with the stand-in for its shared-directory plugin: from 23.3
// an entry that a run list names is a hit on demand; to 22.6, where a row alone is a hit, it is built.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "tests/clients/nx_directory.h"
#include "tests/support/git_repository.h"
#include "tests/support/tools.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

// A prewarm that looks the list up and has no room for what it names.
constexpr const char* kPrewarmNothing = "\"$HITFS\" prewarm --max-bytes 1";

// One commit, built on machine A with a shared drive behind it; then A is gone.
class NxAnnouncedTest : public NxDirectoryTest {
 protected:
  void SetUp() override {
    NxDirectoryTest::SetUp();
    if (IsSkipped()) return;
    HITFS_NEEDS(find_tool("git", "HITFS_TEST_GIT"), "git", "apt-get install git");
    fs::create_directories(folder_ / "share");
    workspace_.emplace(workspace("work"));
    const GitRepository repository(workspace_->folder());
    repository.write(".gitignore", "node_modules\ndist\n.nx\nrun.json\n");
    repository.commit("one");
    {
      const auto a = machine("a");
      const Outcome stored = a->nx(*workspace_, kBuildAll);
      ASSERT_EQ(stored.code, 0) << stored.output;
      ASSERT_EQ(count(stored.output, "\nbuilt "), 3u) << stored.output;
    }
    fs::rename(folder_ / "a", folder_ / "away");
    built_ = describe_tree(workspace_->dist());
    fs::remove_all(workspace_->dist());
  }

  [[nodiscard]] std::unique_ptr<NxMachine> machine(const std::string& name) const {
    auto made = std::make_unique<NxMachine>(folder_ / name);
    made->set("HITFS_REMOTE", "file://" + (folder_ / "share").string());
    return made;
  }
  [[nodiscard]] static bool promises() { return GetParam() >= "23.3"; }

  std::optional<NxWorkspace> workspace_;
  std::map<std::string, std::string> built_;  // by A
};

TEST_P(NxAnnouncedTest, WhatThePrewarmLeftOutIsAHitOnDemand) {
  const Outcome restored = machine("b")->nx(*workspace_, kBuildAll, {}, ":", kPrewarmNothing);
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
  const auto b = machine("b");
  const Outcome again = b->nx(*workspace_, kBuildAll, {}, ":", kPrewarmNothing);
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_NE(again.output.find("prewarmed 0 of 3"), std::string::npos) << again.output;
  EXPECT_EQ(count(again.output, "[remote cache]"), 0u) << again.output;
  EXPECT_EQ(describe_tree(workspace_->dist()), built_) << again.output;
  EXPECT_NE(again.output.find(" 3 pushed"), std::string::npos) << again.output;
  // In the next run of this machine all are there.
  fs::remove_all(workspace_->dist());
  const Outcome third = b->nx(*workspace_, kBuildAll);
  EXPECT_EQ(third.code, 0) << third.output;
  EXPECT_EQ(count(third.output, "\nbuilt "), 3u) << "terminal outputs\n" << third.output;
  EXPECT_GE(count(third.output, "[remote cache]") + count(third.output, "[local cache]"), 3u) << third.output;
  EXPECT_EQ(describe_tree(workspace_->dist()), built_) << third.output;
}

INSTANTIATE_TEST_SUITE_P(Versions, NxAnnouncedTest, ::testing::Values("20.8.2", "22.6.5", "23.3.2", "24.0.6"),
                         nx_test_name);

}  // namespace
}  // namespace hitfs::testing
