#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "store/base/json.h"
#include "tests/clients/nx_versions.h"
#include "tests/clients/nx_workspace.h"
#include "tests/support/git_repository.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"

// The real client over the endpoint, prewarmed by commit: nobody tells machine B a hash.
namespace hitfs::testing {
namespace {

class NxListsTest : public NxVersionTest {
 protected:
  void SetUp() override {
    NxVersionTest::SetUp();
    if (IsSkipped()) return;
    HITFS_NEEDS(find_tool("git", "HITFS_TEST_GIT"), "git", "apt-get install git");
    server_ = std::make_unique<TeamServer>(folder_ / "server");
    workspace_ = std::make_unique<NxWorkspace>(folder_ / "work", modules_);
    repository_ = std::make_unique<GitRepository>(folder_ / "work");
    repository_->write(".gitignore", "node_modules\ndist\n.nx\n");
    repository_->commit("one");
  }

  Command with_cache(Command command, const std::string& machine) const {
    command.environment["HITFS_STORE"] = folder_ / machine;
    command.environment["HITFS_REMOTE"] = "nx+" + server_->url();
    command.environment["HITFS_TOKEN"] = server_->token();
    command.environment["HITFS_FLUSH"] = "60s";
    command.directory = repository_->folder();
    return command;
  }
  // `nx run-many -t build` below `hitfs run --json FLAGS` on a machine; `before` stands before nx in the command.
  Outcome build(const std::string& machine, const std::vector<std::string>& flags = {},
                const std::vector<std::string>& before = {}) {
    const Command nx = workspace_->nx({"run-many", "-t", "build"});
    std::vector<std::string> words{"run", "--json"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.emplace_back("--");
    words.insert(words.end(), before.begin(), before.end());
    words.insert(words.end(), nx.arguments.begin(), nx.arguments.end());
    Command command = hitfs(words, folder_.path());
    command.environment.insert(nx.environment.begin(), nx.environment.end());
    return run(with_cache(command, machine), kNxLimit);
  }
  Json why(const std::string& machine, const std::string& task) {
    return last_json(run(with_cache(hitfs({"why", "--json", task}, folder_.path()), machine), kNxLimit).output);
  }
  // Another machine: none of nx's own results are there.
  void clean_work_tree() {
    for (const char* name : {"dist", ".nx"}) std::filesystem::remove_all(repository_->folder() / name);
  }

  std::unique_ptr<TeamServer> server_;
  std::unique_ptr<NxWorkspace> workspace_;
  std::unique_ptr<GitRepository> repository_;
};

TEST_P(NxListsTest, EveryUnchangedTaskOfTheNextCommitIsPrewarmed) {
  const Outcome built = build("store-a");
  ASSERT_EQ(built.code, 0) << built.output;
  const Json first = last_json(built.output);
  EXPECT_EQ(first["miss"].integer_or(0), 3) << built.output;
  EXPECT_EQ(first["list"]["keys"].integer_or(0), 3) << built.output;
  ASSERT_EQ(stop_hitfs(folder_ / "store-a").code, 0);
  std::filesystem::rename(folder_ / "store-a", folder_ / "away");
  clean_work_tree();

  // app needs ui, which needs core: only app has to be built again.
  repository_->write("packages/app/src/source.txt", "changed\n");
  repository_->commit("two");
  // A prewarm within the run waits for the one beside it: nx begins when everything is here.
  const Outcome rebuilt = build("store-b", {"--prewarm-base", "HEAD"},
                                {"/bin/sh", "-c", "\"$0\" prewarm && exec \"$@\"", hitfs({}, "").arguments.front()});
  EXPECT_EQ(rebuilt.code, 0) << rebuilt.output;
  for (const char* task : {"core:build", "ui:build"}) {
    EXPECT_NE(rebuilt.output.find("nx run " + std::string(task) + "  [remote cache]"), std::string::npos)
        << rebuilt.output;
  }
  EXPECT_EQ(rebuilt.output.find("nx run app:build  ["), std::string::npos) << rebuilt.output;
  const Json second = last_json(rebuilt.output);
  EXPECT_EQ(second["prewarm"]["distance"].integer_or(0), 1);
  EXPECT_EQ(second["prewarm"]["wanted"].integer_or(0), 3) << rebuilt.output;
  EXPECT_EQ(second["prewarm"]["missing"].integer_or(-1), 0);
  EXPECT_EQ(second["hit"].integer_or(0), 2);
  EXPECT_EQ(second["prewarmed"].integer_or(0), 2);
  EXPECT_EQ(second["miss"].integer_or(0), 1);
  EXPECT_EQ(second["list"]["keys"].integer_or(0), 3);

  EXPECT_EQ(why("store-b", "app:build")["verdict"].text_or(""), "other");
  EXPECT_EQ(why("store-b", "core:build")["verdict"].text_or(""), "same");
  EXPECT_EQ(why("store-b", "none:build")["verdict"].text_or(""), "never");
  EXPECT_EQ(stop_hitfs(folder_ / "store-b").code, 0);
}

// Each nx rewrites its run.json, the second one without ui: the list has the names of both.
TEST_P(NxListsTest, TheTasksOfEveryNxCommandOfARunAreListed) {
  const Command nx = workspace_->nx({});
  Command command = hitfs(
      {"run", "--json", "--", "/bin/sh", "-c", "\"$0\" run ui:build && \"$0\" run core:build", nx.arguments.front()},
      folder_.path());
  command.environment.insert(nx.environment.begin(), nx.environment.end());
  const Outcome built = run(with_cache(command, "store-a"), kNxLimit);
  ASSERT_EQ(built.code, 0) << built.output;
  EXPECT_EQ(last_json(built.output)["list"]["keys"].integer_or(0), 2) << built.output;
  ASSERT_EQ(stop_hitfs(folder_ / "store-a").code, 0);
  clean_work_tree();
  for (const char* task : {"core:build", "ui:build"}) {
    EXPECT_EQ(why("store-b", task)["verdict"].text_or(""), "listed") << task;
  }
  EXPECT_EQ(why("store-b", "app:build")["verdict"].text_or(""), "never");
  EXPECT_EQ(stop_hitfs(folder_ / "store-b").code, 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxListsTest, every_nx(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
