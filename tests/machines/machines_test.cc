#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "tests/support/git_repository.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"
#include "tests/support/tree.h"

// The main job through real mounts, with the program as people call it: two machines (two stores, two supervisors, two
// mounts) and a team server between them.
namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

constexpr Milliseconds kLimit{60000};
const std::string kName(64, 'a');

// Build output in small: many files, one that takes a while to hash, an executable, links, an empty folder.
void make_output(const fs::path& root) {
  fs::create_directories(root / "objects");
  fs::create_directories(root / "empty");
  std::mt19937_64 numbers(1);
  for (int i = 0; i < 500; ++i) std::ofstream(root / "objects" / std::to_string(i)) << "object " << numbers() << "\n";
  std::ofstream large(root / "large", std::ios::binary);
  for (int i = 0; i < (48 << 20) / 8; ++i) {
    const uint64_t number = numbers();
    large.write(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  std::ofstream(root / "program") << "#!/bin/sh\necho it runs\n";
  fs::permissions(root / "program", fs::perms(0755));
  fs::create_symlink("program", root / "run");
  fs::create_directory_symlink("objects", root / "parts");
}

class MachinesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists("/dev/fuse")) GTEST_SKIP() << "missing tool: /dev/fuse (load the kernel module fuse)";
    server_ = std::make_unique<TeamServer>(folder_ / "server");
    make_output(folder_ / "output");
    expected_ = describe_tree(folder_ / "output");
  }

  // `hitfs ARGUMENTS` on machine `name`, in step with the server.
  Outcome on(const std::string& name, std::vector<std::string> arguments) {
    fs::create_directories(folder_ / name);
    Command command = hitfs(std::move(arguments), folder_ / name);
    command.environment["HITFS_STORE"] = folder_ / name / "store";
    command.environment["HITFS_REMOTE"] = "nx+" + server_->url();
    command.environment["HITFS_TOKEN"] = server_->token();
    return run(command, kLimit);
  }
  [[nodiscard]] fs::path mount_of(const std::string& name) const { return folder_ / name / "cache"; }
  void mount_on(const std::string& name) {
    const Outcome mounted = on(name, {"mount", mount_of(name), "--layout", "flat", "--pattern", "[a-f0-9]{64}"});
    ASSERT_EQ(mounted.code, 0) << mounted.output;
  }
  // As a build script does it: beside, then renamed into place.
  void save_on(const std::string& name) {
    const std::string script = "cp -a \"$0\" \"$1/saving\" && mv \"$1/saving\" \"$1/$2\"";
    const Outcome saved = run({{"/bin/sh", "-c", script, folder_ / "output", mount_of(name), kName}, {}, {}}, kLimit);
    ASSERT_EQ(saved.code, 0) << saved.output;
  }
  // A lookup waits two seconds for the pull; a slow machine looks again.
  bool appears_on(const std::string& name) {
    const auto until = Deadline::after(kLimit);
    while (!until.passed()) {
      if (fs::exists(mount_of(name) / kName)) return true;
    }
    return false;
  }

  TempDir folder_;
  Enclosure enclosure_{folder_.path()};
  std::unique_ptr<TeamServer> server_;
  std::map<std::string, std::string> expected_;
};

TEST_F(MachinesTest, WhatASavedIsOnBThoughAIsGone) {
  mount_on("a");
  save_on("a");
  const Outcome flushed = on("a", {"flush"});
  ASSERT_EQ(flushed.code, 0) << flushed.output;
  const Outcome unmounted = on("a", {"unmount", mount_of("a")});
  ASSERT_EQ(unmounted.code, 0) << unmounted.output;
  fs::rename(folder_ / "a" / "store", folder_ / "away");

  mount_on("b");
  ASSERT_TRUE(appears_on("b")) << on("b", {"why", kName}).output;
  EXPECT_EQ(describe_tree(mount_of("b") / kName), expected_);
  EXPECT_EQ(run({{(mount_of("b") / kName / "run").string()}, {}, {}}, kLimit).output, "it runs\n");

  EXPECT_EQ(on("b", {"unmount", mount_of("b")}).code, 0);
  EXPECT_EQ(enclosure_.mounts(), std::vector<std::string>{});
}

TEST_F(MachinesTest, AFlushCoversWhatWasRenamedJustBefore) {
  mount_on("a");
  mount_on("b");  // B must be quick to ask: A goes on uploading meanwhile
  save_on("a");
  const Outcome flushed = on("a", {"flush"});
  ASSERT_EQ(flushed.code, 0) << flushed.output;

  // Asked once: what is not on the server now is a miss.
  const Outcome got = on("b", {"get", kName, folder_ / "got"});
  ASSERT_EQ(got.code, 0) << got.output;
  EXPECT_EQ(describe_tree(folder_ / "got"), expected_);
  for (const char* name : {"a", "b"}) EXPECT_EQ(on(name, {"unmount", mount_of(name)}).code, 0);
}

TEST_F(MachinesTest, WhatABuildSavedThroughItsMountIsPrewarmedByCommit) {
  HITFS_NEEDS(find_tool("git", "HITFS_TEST_GIT"), "git", "apt-get install git");
  const GitRepository work(folder_ / "work");
  work.commit("one");
  const std::string script = "cp -a \"$0\" \"$1/saving\" && mv \"$1/saving\" \"$1/$2\"";
  Command save = hitfs({"run", "--mount", mount_of("a"), "--layout", "flat", "--pattern", "[a-f0-9]{64}", "--",
                        "/bin/sh", "-c", script, folder_ / "output", mount_of("a"), kName},
                       folder_ / "a");
  Command prewarm = hitfs({"prewarm"}, folder_ / "b");
  for (Command* one : {&save, &prewarm}) {
    const fs::path home = one->environment["HOME"].value();
    fs::create_directories(home);
    one->environment["HITFS_STORE"] = home / "store";
    one->environment["HITFS_REMOTE"] = "nx+" + server_->url();
    one->environment["HITFS_TOKEN"] = server_->token();
    one->environment["HITFS_FLUSH"] = "60s";
    one->directory = work.folder();
  }
  const Outcome saved = run(save, kLimit);
  ASSERT_EQ(saved.code, 0) << saved.output;
  ASSERT_EQ(on("a", {"stop"}).code, 0);
  const Outcome prewarmed = run(prewarm, kLimit);
  EXPECT_EQ(prewarmed.code, 0);
  EXPECT_NE(prewarmed.output.find("prewarmed 1 of 1"), std::string::npos) << saved.output << prewarmed.output;
  server_->kill();
  mount_on("b");
  EXPECT_EQ(describe_tree(mount_of("b") / kName), expected_);
  EXPECT_EQ(on("b", {"stop", "--flush", "0s"}).code, 0);
}

TEST_F(MachinesTest, TheMountGoesOnWithoutServer) {
  mount_on("a");
  server_->kill();
  save_on("a");
  EXPECT_EQ(describe_tree(mount_of("a") / kName), expected_);
  EXPECT_FALSE(fs::exists(mount_of("a") / std::string(64, 'b')));
  // What waits for the server is named, and comes up again with the next start.
  const Outcome stopped = on("a", {"stop", "--flush", "0s"});
  EXPECT_EQ(stopped.code, 1) << stopped.output;
  EXPECT_EQ(enclosure_.mounts(), std::vector<std::string>{});
  mount_on("a");
  EXPECT_EQ(describe_tree(mount_of("a") / kName), expected_);
  EXPECT_EQ(on("a", {"stop", "--flush", "0s"}).code, 1);
}

}  // namespace
}  // namespace hitfs::testing
