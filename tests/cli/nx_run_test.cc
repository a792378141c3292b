#include "cli/nx/nx_run.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "cli/why_task.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

// As nx 24.0.6 wrote it, shortened.
constexpr const char* kRun = R"({
  "run": {"command": "nx run-many -t build", "startTime": "2026-11-21T10:52:48.1Z", "inner": false},
  "tasks": [
    {"taskId": "core:build", "target": "build", "projectName": "core", "hash": "18134193033788077892",
     "params": "", "cacheStatus": "cache-miss", "status": 0},
    {"taskId": "ui:build", "hash": "6272972885053075554", "cacheStatus": "local-cache-hit", "status": 0},
    {"taskId": "app:build", "hash": "77", "cacheStatus": "cache-miss", "status": 1},
    {"taskId": "odd:build", "hash": "../x", "cacheStatus": "cache-miss", "status": 0}]})";

class NxRunTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  std::vector<std::string> tasks(const std::map<std::string, std::string>& environment = {}, std::time_t since = 0) {
    std::vector<std::string> found;
    for (const auto& task : nx_tasks(folder_ / "work", environment, since)) found.push_back(task.task + " " + task.key);
    return found;
  }
  const std::vector<std::string> expected_{"core:build nx/18134193033788077892", "ui:build nx/6272972885053075554"};

  testing::TempDir folder_;
};

TEST_F(NxRunTest, ReadsTasksThatSucceeded) {
  write("work/.nx/cache/run.json", kRun);
  EXPECT_EQ(tasks(), expected_);
}

TEST_F(NxRunTest, LooksWhereNxKeepsItsCache) {
  write("work/nx.json", R"({"cacheDirectory": "tmp/nx"})");
  write("work/tmp/nx/run.json", kRun);
  EXPECT_EQ(tasks(), expected_);
  EXPECT_TRUE(tasks({{"NX_CACHE_DIRECTORY", "elsewhere"}}).empty());
  write("else/where/run.json", kRun);
  EXPECT_EQ(tasks({{"NX_CACHE_DIRECTORY", (folder_ / "else/where").string()}}), expected_);
}

TEST_F(NxRunTest, FindsTheFolderThatCheckoutsShare) {
  write("home/.nx/0123456789abcdef/cache/run.json", kRun);
  EXPECT_EQ(tasks({{"HOME", (folder_ / "home").string()}}), expected_);
}

TEST_F(NxRunTest, AnOlderRunIsNotThisOne) {
  write("work/.nx/cache/run.json", kRun);
  struct stat info {};
  ASSERT_EQ(::stat((folder_ / "work/.nx/cache/run.json").c_str(), &info), 0);
  EXPECT_EQ(tasks({}, info.st_mtim.tv_sec), expected_);
  EXPECT_TRUE(tasks({}, info.st_mtim.tv_sec + 1).empty());
}

TEST_F(NxRunTest, WhatIsNoRunIsNone) {
  EXPECT_TRUE(tasks().empty());
  for (const char* text : {"", "{", "[]", R"({"tasks": 7})", R"({"tasks": [7, {}, {"taskId": "a:b"}]})"}) {
    write("work/.nx/cache/run.json", text);
    EXPECT_TRUE(tasks().empty()) << text;
  }
}

TEST_F(NxRunTest, TheWorkspaceIsWhereNxJsonLies) {
  write("work/packages/a/file", "");
  write("work/.nx/cache/run.json", kRun);
  EXPECT_TRUE(nx_tasks(folder_ / "work/packages/a", {}, 0).empty());
  write("work/nx.json", "{}");
  EXPECT_EQ(nx_tasks(folder_ / "work/packages/a", {}, 0).size(), 2u);
}

TEST_F(NxRunTest, TheCacheFolderMayBeNamedByAPreset) {
  write("work/nx.json", R"({"extends": "./tools/base.json", })");
  write("work/tools/base.json", R"({"cacheDirectory": "tmp/nx" /* here */})");
  write("work/tmp/nx/run.json", kRun);
  EXPECT_EQ(tasks(), expected_);
}

TEST(TaskNameTest, IsToldFromKeysAndPaths) {
  for (const char* task : {"lib-a:build", "@org/lib-a:build", "lib:build:production"}) EXPECT_TRUE(is_task_name(task));
  for (const char* other : {"nx/123", "1f3a", "pr%2F1:nx/123", "/cache/a:b", "./a:b", ":build", ""}) {
    EXPECT_FALSE(is_task_name(other)) << other;
  }
}

}  // namespace
}  // namespace hitfs
