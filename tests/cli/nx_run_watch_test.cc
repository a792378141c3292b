#include "cli/nx/nx_run_watch.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

namespace fs = std::filesystem;

// Runs of nx as seen by the file that they write.
class NxRunWatchTest : public ::testing::Test {
 protected:
  void SetUp() override { write("work/nx.json", "{}"); }
  void write(const fs::path& name, const std::string& text) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::trunc) << text;
  }
  static std::string text_of(const std::string& task, const std::string& hash) {
    return R"({"tasks": [{"taskId": ")" + task + R"(", "hash": ")" + hash + R"(", "status": 0}]})";
  }
  // A run that ends, and is seen before the next one begins.
  void run(const fs::path& cache, const std::string& task, const std::string& hash) {
    write(cache / "run.json", text_of(task, hash));
    ++runs_;
    ASSERT_TRUE(testing::eventually([&] { return watch_->tasks_seen() == runs_; })) << task;
  }
  void begin(std::map<std::string, std::string> environment = {}) {
    watch_.emplace(folder_ / "work", std::move(environment));
  }
  std::vector<std::string> end() {
    std::vector<std::string> found;
    for (const auto& task : watch_->finish()) found.push_back(task.task + " " + task.key);
    return found;
  }

  using Tasks = std::vector<std::string>;
  testing::TempDir folder_;
  std::optional<NxRunWatch> watch_;
  size_t runs_ = 0;
};

TEST_F(NxRunWatchTest, EveryRunOfAFreshWorkspaceCounts) {
  begin();
  run("work/.nx/cache", "b:build", "2");
  run("work/.nx/cache", "a:build", "1");
  EXPECT_EQ(end(), (Tasks{"b:build nx/2", "a:build nx/1"}));
}

TEST_F(NxRunWatchTest, ARunBeforeItIsNone) {
  write("work/.nx/cache/run.json", text_of("old:build", "9"));
  fs::last_write_time(folder_ / "work/.nx/cache/run.json", fs::file_time_type::clock::now() - std::chrono::hours(1));
  begin();
  run("work/.nx/cache", "a:build", "1");
  EXPECT_EQ(end(), (Tasks{"a:build nx/1"}));
}

TEST_F(NxRunWatchTest, NothingIsEmpty) {
  begin();
  EXPECT_TRUE(end().empty());
}

TEST_F(NxRunWatchTest, ACacheThatIsRemovedAndMadeAgainIsSeen) {
  begin();
  run("work/.nx/cache", "a:build", "1");
  fs::remove_all(folder_ / "work/.nx");
  run("work/.nx/cache", "b:build", "2");
  fs::remove_all(folder_ / "work/.nx/cache");
  run("work/.nx/cache", "c:build", "3");
  EXPECT_EQ(end(), (Tasks{"a:build nx/1", "b:build nx/2", "c:build nx/3"}));
}

TEST_F(NxRunWatchTest, AFileThatIsRenamedIntoPlaceIsSeen) {
  begin();
  run("work/.nx/cache", "a:build", "1");
  write("work/.nx/new", text_of("b:build", "2"));
  fs::rename(folder_ / "work/.nx/new", folder_ / "work/.nx/cache/run.json");
  ASSERT_TRUE(testing::eventually([&] { return watch_->tasks_seen() == 2; }));
  EXPECT_EQ(end(), (Tasks{"a:build nx/1", "b:build nx/2"}));
}

TEST_F(NxRunWatchTest, TheFolderOfTheEnvironmentIsTheOnlyOne) {
  begin({{"NX_CACHE_DIRECTORY", (folder_ / "deep/down/cache").string()}, {"HOME", (folder_ / "home").string()}});
  run("deep/down/cache", "a:build", "1");
  write("work/.nx/cache/run.json", text_of("other:build", "9"));
  run("deep/down/cache", "b:build", "2");
  EXPECT_EQ(end(), (Tasks{"a:build nx/1", "b:build nx/2"}));
}

// Those of other checkouts are shared too, but theirs are not this build's.
TEST_F(NxRunWatchTest, OfTheFoldersBelowHomeTheNewestCounts) {
  begin({{"HOME", (folder_ / "home").string()}});
  run("home/.nx/0123456789abcdef/cache", "a:build", "1");
  run("home/.nx/fedcba9876543210/cache", "other:build", "9");
  const auto other = folder_ / "home/.nx/fedcba9876543210/cache/run.json";
  // The kernel's clock for files moves every few milliseconds only.
  fs::last_write_time(other, fs::last_write_time(other) - std::chrono::milliseconds(20));
  run("home/.nx/0123456789abcdef/cache", "b:build", "2");
  EXPECT_EQ(end(), (Tasks{"a:build nx/1", "b:build nx/2"}));
}

TEST_F(NxRunWatchTest, TheLastRunCountsAlsoWhenItWasNotSeen) {
  begin();
  write("work/.nx/cache/run.json", text_of("a:build", "1"));
  EXPECT_EQ(end(), (Tasks{"a:build nx/1"}));
}

}  // namespace
}  // namespace hitfs
