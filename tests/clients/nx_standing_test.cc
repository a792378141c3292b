#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "tests/clients/nx_versions.h"
#include "tests/clients/nx_workspace.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"

// What `hitfs run` says about nx, against what nx then does. The cache packages are stand-ins of this file's own: they
// know nothing and keep nothing, and are active when their documentation says so.
namespace hitfs::testing {
namespace {

struct Place {
  const char* name;
  const char* package;  // the stand-in that is installed; "" for none
  std::map<std::string, std::optional<std::string>> environment;
  const char* said;
  bool endpoint_asked;
  const char* nx_json = nullptr;  // instead of the workspace's own
  const char* only = "";          // the versions that begin so
};

const Place kPlaces[] = {
    {"nothing installed", "", {}, "nx uses the endpoint: no directory is mounted", true},
    {"shared directory, laptop", "shared-fs-cache", {{"NX_KEY", "k"}}, "nx uses the endpoint", true},
    {"shared directory, CI=false", "shared-fs-cache", {{"NX_KEY", "k"}, {"CI", "false"}}, "nx uses the endpoint", true},
    {"shared directory, CI",
     "shared-fs-cache",
     {{"NX_KEY", "k"}, {"CI", "true"}},
     "a directory that is not a mount of hitfs, and does not ask the endpoint",
     false},
    {"S3", "s3-cache", {}, "nx asks @nx/s3-cache before the endpoint", false, R"({"s3": {"bucket": "b"}})"},
    {"legacy cache", "", {}, "nx 20 uses its legacy cache", false, R"({"useLegacyCache": true})", "20."},
    {"switched off", "", {{"NX_SKIP_REMOTE_CACHE", "true"}}, "nx uses no remote cache", false},
};

class NxStandingTest : public NxVersionTest {
 protected:
  // Beside the workspaces, where node looks for what it does not find in them.
  void install(const std::string& name) {
    std::filesystem::remove_all(folder_ / "node_modules");
    if (name.empty()) return;
    auto package = folder_ / "node_modules/@nx" / name;
    std::filesystem::create_directories(package);
    std::ofstream(package / "package.json") << "{\"main\": \"index.js\"}";
    std::ofstream(package / "index.js") << "const ci = process.env.CI && process.env.CI !== 'false';\n"
                                        << "const cache = { retrieve: async () => null, store: async () => true };\n"
                                        << "exports.getRemoteCache = () => ("
                                        << (name == "shared-fs-cache" ? "ci ? cache : null" : "cache") << ");\n";
  }
};

TEST_P(NxStandingTest, IsWhatNxDoes) {
  int number = 0;
  for (const auto& place : kPlaces) {
    SCOPED_TRACE(place.name);
    if (!GetParam().starts_with(place.only)) continue;
    install(place.package);
    const std::string name = "workspace-" + std::to_string(++number);
    const NxWorkspace workspace(folder_ / name, modules_);
    if (place.nx_json != nullptr) std::ofstream(folder_ / name / "nx.json") << place.nx_json;
    Command command = workspace.nx({"run", "core:build"});
    for (const auto& [variable, value] : place.environment) command.environment[variable] = value;
    const auto outcome = run(below_hitfs_run(folder_ / ("store-" + name), std::move(command)), kNxLimit);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_NE(outcome.output.find(place.said), std::string::npos) << outcome.output;
    const char* figures = place.endpoint_asked ? "0 hit (0 prewarmed) 1 miss" : "0 hit (0 prewarmed) 0 miss";
    EXPECT_NE(outcome.output.find(figures), std::string::npos) << outcome.output;
    EXPECT_EQ(stop_hitfs(folder_ / ("store-" + name)).code, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, NxStandingTest, every_nx(), nx_test_name);

}  // namespace
}  // namespace hitfs::testing
