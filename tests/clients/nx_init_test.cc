#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "store/base/io.h"
#include "tests/clients/nx_versions.h"
#include "tests/clients/nx_workspace.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"

// `hitfs init` in a workspace of real nx, and what `hitfs run` makes of it.
namespace hitfs::testing {
namespace {

constexpr const char* kServer = "NX_SELF_HOSTED_REMOTE_CACHE_SERVER";
constexpr const char* kToken = "NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN";

// As people leave it behind: comments, commas, settings of a cache package, a key that should not be there.
constexpr const char* kNxJson = R"({
  // the cache of the team
  "s3": { "bucket": "team-cache", "region": "eu-central-1", "secretAccessKey": "planted-secret", "localMode": "read-only", },
  "neverConnectToCloud": true,
  "analytics": false,
  "targetDefaults": { "build": { "cache": true, "dependsOn": ["^build"], "inputs": ["{projectRoot}/**/*"] } }, /* all */
})";

std::string read(const std::filesystem::path& path) {
  auto text = io::read_file(path, 1 << 20);
  return text ? *text : "";
}

class NxInitTest : public NxVersionTest {
 protected:
  NxWorkspace workspace(const std::string& name) {
    NxWorkspace made(folder_ / name, modules_);
    std::ofstream(folder_ / name / "nx.json") << kNxJson;
    return made;
  }
  Outcome init(const std::string& name, std::vector<std::string> flags, const TeamServer& server) {
    flags.insert(flags.begin(), "init");
    Command command = hitfs(std::move(flags), folder_.path());
    command.directory = folder_ / name;
    command.environment[kServer] = server.url();
    command.environment[kToken] = server.token();
    return run(command, kNxLimit);
  }
  // A build of everything on a machine of its own.
  Outcome build(const NxWorkspace& workspace, const std::string& machine,
                const std::map<std::string, std::string>& environment) {
    Command command = workspace.nx({"run-many", "-t", "build"});
    for (const auto& [name, value] : environment) command.environment[name] = value;
    return run(below_hitfs_run(folder_ / machine, std::move(command)), kNxLimit);
  }
  static std::map<std::string, std::string> with(const TeamServer& server, const std::string& token) {
    return {{kServer, server.url()}, {kToken, token}};
  }
};

TEST_P(NxInitTest, WhatInitWroteHoldsInTheNextRun) {
  TeamServer server(folder_ / "server");
  const auto a = workspace("a"), b = workspace("b"), c = workspace("c");
  auto printed = init("a", {"--print"}, server);
  ASSERT_EQ(printed.code, 0) << printed.output;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a/.hitfs.toml"));
  for (const char* name : {"a", "b", "c"}) {
    auto written = init(name, {}, server);
    ASSERT_EQ(written.code, 0) << written.output;
    for (const std::string& secret : {std::string("planted-secret"), server.token()}) {
      EXPECT_EQ(written.output.find(secret), std::string::npos) << written.output;
      EXPECT_EQ(read(folder_ / name / ".hitfs.toml").find(secret), std::string::npos);
    }
    EXPECT_NE(written.output.find("has no S3 remote yet"), std::string::npos) << written.output;
  }
  auto file = read(folder_ / "a/.hitfs.toml");
  EXPECT_NE(file.find("\nmode = \"read\"\n"), std::string::npos) << file;
  EXPECT_NE(printed.output.find(file), std::string::npos) << printed.output;
  EXPECT_EQ(init("a", {}, server).code, 3) << "it is there already";
  EXPECT_EQ(init("a", {"--force"}, server).code, 0);
  EXPECT_EQ(read(folder_ / "a/.hitfs.toml"), file);

  // A laptop reads only, and nobody is warned of that.
  auto environment = with(server, server.token());
  auto laptop = build(a, "store-a", environment);
  EXPECT_EQ(laptop.code, 0) << laptop.output;
  EXPECT_EQ(count(laptop.output, "hitfs: nx uses the endpoint"), 1u) << laptop.output;
  EXPECT_NE(laptop.output.find("3 miss · 0 pushed 0 refused 0 failed"), std::string::npos) << laptop.output;
  EXPECT_EQ(count(laptop.output, "hitfs: "), 2u) << laptop.output;
  // CI writes, and the next laptop has it.
  environment["CI"] = "true";
  auto ci = build(b, "store-b", environment);
  EXPECT_EQ(ci.code, 0) << ci.output;
  EXPECT_NE(ci.output.find("3 pushed 0 refused"), std::string::npos) << ci.output;
  environment.erase("CI");
  auto again = build(c, "store-c", environment);
  EXPECT_EQ(count(again.output, "[remote cache]"), 3u) << again.output;
  for (const char* store : {"store-a", "store-b", "store-c"}) EXPECT_EQ(stop_hitfs(folder_ / store).code, 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, NxInitTest, ::testing::Values("20.8.2", "24.0.6"), nx_test_name);

class NxModeTest : public NxInitTest {};

TEST_P(NxModeTest, ACacheThatCannotBeWrittenIsOneWarningAndNoneWhenThatWasSaid) {
  TeamServer server(folder_ / "server");
  Command add = hitfs({"token", "add", "--tokens", folder_ / "server/tokens.json", "--name", "reader"}, folder_.path());
  add.with_errors = false;
  auto reader = run(add, kNxLimit).output;
  reader.erase(reader.find_last_not_of('\n') + 1);
  const std::string warning = "does not let this build write";
  // Nothing of the team's file: this build may write as far as it knows.
  const auto a = workspace("a"), b = workspace("b"), c = workspace("c");

  auto environment = with(server, reader);
  auto told = build(a, "store-a", environment);
  EXPECT_EQ(told.code, 0) << told.output;
  EXPECT_EQ(count(told.output, warning), 1u) << told.output;
  EXPECT_EQ(count(told.output, "uploads were refused"), 0u) << told.output;
  EXPECT_NE(told.output.find("0 pushed 3 refused"), std::string::npos) << told.output;
  EXPECT_EQ(stop_hitfs(folder_ / "store-a").code, 0);

  // The same machine again, and a new one: no upload is tried, and none of before is brought up.
  environment["NX_POWERPACK_CACHE_MODE"] = "read-only";
  for (const auto& [workspace, store] : {std::pair(&b, "store-a"), std::pair(&c, "store-c")}) {
    auto quiet = build(*workspace, store, environment);
    EXPECT_EQ(quiet.code, 0) << quiet.output;
    EXPECT_EQ(count(quiet.output, warning) + count(quiet.output, "uploads were refused"), 0u) << quiet.output;
    EXPECT_NE(quiet.output.find("0 pushed 0 refused"), std::string::npos) << quiet.output;
    EXPECT_EQ(stop_hitfs(folder_ / store).code, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Version, NxModeTest, ::testing::Values("24.0.6"), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
