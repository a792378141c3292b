#include "cli/git.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "store/base/subprocess.h"
#include "tests/support/git_repository.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

class GitTest : public ::testing::Test {
 protected:
  // hitfs's own view of a folder.
  static GitRepository at(const std::filesystem::path& folder) {
    GitRepository repository;
    repository.folder = folder;
    repository.environment = environment_without({"GIT_DIR"});
    return repository;
  }

  testing::TempDir folder_;
};

TEST_F(GitTest, KnowsTheCommitFromAnywhereInTheWorkTree) {
  testing::GitRepository made(folder_ / "work");
  made.write("packages/a/file", "1");
  auto commit = made.commit("one");
  auto git = at(folder_ / "work/packages/a");
  EXPECT_EQ(git_commit(git, "HEAD").value(), commit);
  EXPECT_EQ(git_commit(git, "main").value(), commit);
}

TEST_F(GitTest, ARevisionThatIsNotThereOrIsNoneIsSaid) {
  testing::GitRepository made(folder_ / "work");
  made.commit("one");
  auto missing = git_commit(at(made.folder()), "origin/main");
  EXPECT_EQ(missing.error().code, Code::not_found);
  EXPECT_NE(missing.error().message.find("origin/main"), std::string::npos);
  EXPECT_EQ(git_commit(at(made.folder()), "--output=/tmp/x").error().code, Code::invalid_argument);
  EXPECT_EQ(git_commit(at(made.folder()), "").error().code, Code::invalid_argument);
}

TEST_F(GitTest, CleanMeansNothingChangedAndNothingNewButWhatIsIgnored) {
  testing::GitRepository made(folder_ / "work");
  made.write(".gitignore", "dist\n");
  made.write("file", "1");
  made.commit("one");
  made.write("dist/out", "built");
  EXPECT_TRUE(git_is_clean(at(made.folder())).value());
  made.write("file", "2");
  EXPECT_FALSE(git_is_clean(at(made.folder())).value());
  made.git({"checkout", "--quiet", "file"});
  EXPECT_TRUE(git_is_clean(at(made.folder())).value());
  made.write("new", "1");
  EXPECT_FALSE(git_is_clean(at(made.folder())).value());
}

TEST_F(GitTest, WalksFirstParentsOnly) {
  testing::GitRepository made(folder_ / "work");
  auto one = made.commit("one");
  made.git({"checkout", "--quiet", "-b", "side"});
  made.commit("side");
  made.git({"checkout", "--quiet", "main"});
  auto two = made.commit("two");
  made.git({"merge", "--quiet", "--no-ff", "side"});
  auto merge = made.git({"rev-parse", "HEAD"});
  auto history = git_first_parents(at(made.folder()), "HEAD", 100);
  ASSERT_TRUE(history) << history.error().message;
  EXPECT_EQ(history->commits, (std::vector<std::string>{merge, two, one}));
  EXPECT_FALSE(history->cut);
  EXPECT_EQ(git_first_parents(at(made.folder()), "HEAD~1", 1)->commits, std::vector<std::string>{two});
}

TEST_F(GitTest, AShallowCloneIsSaid) {
  testing::GitRepository made(folder_ / "work");
  for (const char* name : {"one", "two", "three"}) made.commit(name);
  testing::GitRepository clone(folder_ / "clone", made, 2);
  auto history = git_first_parents(at(clone.folder()), "HEAD", 100);
  ASSERT_TRUE(history);
  EXPECT_EQ(history->commits.size(), 2u);
  EXPECT_TRUE(history->cut);
  EXPECT_FALSE(git_first_parents(at(clone.folder()), "HEAD", 2)->cut);
}

TEST_F(GitTest, NoRepositoryAndNoGitAreSaid) {
  auto outside = at(folder_.path());
  outside.environment.push_back("GIT_CEILING_DIRECTORIES=" + folder_.path().parent_path().string());
  auto none = git_commit(outside, "HEAD");
  EXPECT_EQ(none.error().code, Code::not_found);
  EXPECT_NE(none.error().message.find("not a git repository"), std::string::npos) << none.error().message;
}

// Whatever hangs below git is gone when the answer comes.
TEST_F(GitTest, AGitThatHangsIsEndedAtTheLimit) {
  testing::GitRepository made(folder_ / "work");
  made.commit("one");
  made.git({"config", "core.fsmonitor", "sleep 600; :"});
  auto git = at(made.folder());
  git.limit = Milliseconds(300);
  auto clean = git_is_clean(git);
  ASSERT_FALSE(clean);
  EXPECT_EQ(clean.error().code, Code::unavailable);
  std::stop_source stop;
  stop.request_stop();
  git.limit = std::chrono::minutes(10);
  git.stop = stop.get_token();
  EXPECT_EQ(git_is_clean(git).error().code, Code::unavailable);
}

}  // namespace
}  // namespace hitfs
