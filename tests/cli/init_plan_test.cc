#include "cli/nx/init_plan.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/config.h"
#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"

namespace hitfs::testing {

namespace {

using Environment = std::map<std::string, std::string>;

InitPlan plan_of(const std::string& nx_json, const Environment& environment = {}) {
  return plan_init({parse_nx_json(nx_json).value(), environment, false});
}

std::string notes_of(const InitPlan& plan) {
  std::string all;
  for (const auto& note : plan.notes) all += note + "\n";
  return all;
}

// The configuration of a workspace with this file, as every command reads it.
Config read_back(const std::string& file, const Environment& environment) {
  TempDir folder;
  std::ofstream(folder / ".hitfs.toml") << file;
  ConfigSources sources;
  sources.environment = environment;
  sources.system_file = folder / "none.toml";
  sources.working_directory = folder.path();
  sources.home = (folder / "home").string();
  auto config = load_config(sources);
  if (!config) ADD_FAILURE() << config.error().message << "\n" << file;
  return config ? std::move(*config) : Config{};
}

RemoteMode effective_mode(const Config& config, const Environment& environment) {
  auto remotes = resolve_remotes(config, environment);
  if (!remotes || remotes->size() != 1) ADD_FAILURE() << "not one remote";
  return remotes && remotes->size() == 1 ? remotes->front().mode : RemoteMode::off;
}

constexpr const char* kEverything = R"({
  // all that init knows
  "s3": {"bucket": "team", "region": "eu-1", "endpoint": "https://minio.example.com:9000/", "localMode": "read-only",
         "accessKeyId": "AKIA", "encryptionKey": "hush"},
  "sharedFs": {},
  "gcs": {"bucket": "other-team", "ciMode": "no-cache"},
  "azure": {"container": "c", "accountName": "a"},
  "cacheDirectory": "/mnt/nx",
  "extends": "nx/presets/npm.json",
  "tasksRunnerOptions": {"default": {"runner": "nx-remotecache-s3", "options": {"token": "hush"}}},
})";
const Environment kServerWithToken = {{"NX_SELF_HOSTED_REMOTE_CACHE_SERVER", "https://cache.example.com/nx/"},
                                      {"NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN", "hush"},
                                      {"NX_POWERPACK_CACHE_MODE", "read-only"},
                                      {"NX_CACHE_DIRECTORY", "/mnt/nx"}};

}  // namespace

TEST(InitPlanTest, FilesAreAsTheyWere) {
  expect_golden(plan_of("{}").file, "init-empty.toml");
  expect_golden(plan_of(kEverything, kServerWithToken).file, "init-everything.toml");
  expect_golden(plan_of("{}", {{"NX_SELF_HOSTED_REMOTE_CACHE_SERVER", "https://open.example.com"}}).file,
                "init-server.toml");
}

struct ReadBackRow {
  const char* name;
  const char* nx_json;
  Environment environment;
};

class InitPlanTable : public ::testing::TestWithParam<ReadBackRow> {};

TEST_P(InitPlanTable, TheFileIsReadBackWithoutAWarning) {
  const auto& row = GetParam();
  auto plan = plan_of(row.nx_json, row.environment);
  auto config = read_back(plan.file, row.environment);
  EXPECT_EQ(config.warnings, std::vector<std::string>{}) << plan.file;
  EXPECT_TRUE(resolve_remotes(config, row.environment));
}

INSTANTIATE_TEST_SUITE_P(
    Rows, InitPlanTable,
    ::testing::Values(ReadBackRow{"Nothing", "{}", {}}, ReadBackRow{"Everything", kEverything, kServerWithToken},
                      ReadBackRow{
                          "OpenServer", "{}", {{"NX_SELF_HOSTED_REMOTE_CACHE_SERVER", "https://open.example.com/"}}},
                      ReadBackRow{"OpenServerAndACommonToken",
                                  "{}",
                                  {{"NX_SELF_HOSTED_REMOTE_CACHE_SERVER", "https://h"}, {"HITFS_TOKEN", "hush"}}},
                      ReadBackRow{"Loopback", "{}", {{"NX_SELF_HOSTED_REMOTE_CACHE_SERVER", "http://127.0.0.1:3000"}}},
                      ReadBackRow{"InsideARun",
                                  "{}",
                                  {{"NX_SELF_HOSTED_REMOTE_CACHE_SERVER", "http://127.0.0.1:1"},
                                   {"NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN", "hush"},
                                   {"HITFS_ENDPOINT", "http://127.0.0.1:1"}}},
                      ReadBackRow{"ModeAlone", "{}", {{"NX_POWERPACK_CACHE_MODE", "no-cache"}}},
                      ReadBackRow{"OddModes", R"({"s3": {"localMode": "\"\nremote = 'file:///'", "ciMode": []}})", {}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(InitPlanTest, ModesHoldWhereNxMeansThem) {
  struct Modes {
    const char* nx_json;
    RemoteMode local, ci;
  };
  for (const auto& row : std::initializer_list<Modes>{
           {"{}", RemoteMode::readwrite, RemoteMode::readwrite},
           {R"({"s3": {"localMode": "read-only"}})", RemoteMode::read, RemoteMode::readwrite},
           {R"({"s3": {"localMode": "read"}})", RemoteMode::read, RemoteMode::readwrite},
           {R"({"gcs": {"ciMode": "no-cache"}})", RemoteMode::readwrite, RemoteMode::off},
           {R"({"azure": {"localMode": "no-cache", "ciMode": "read-write"}})", RemoteMode::off, RemoteMode::readwrite},
           {R"({"azure": {"localMode": "read"}, "s3": {"ciMode": "read"}})", RemoteMode::readwrite, RemoteMode::read},
           {R"({"s3": {"ciMode": "sometimes"}})", RemoteMode::readwrite, RemoteMode::read},
       }) {
    auto file = plan_of(row.nx_json).file;
    Environment here = {{"HITFS_REMOTE", "nx+https://h"}}, ci = here;
    ci["CI"] = "true";
    EXPECT_EQ(effective_mode(read_back(file, here), here), row.local) << row.nx_json;
    EXPECT_EQ(effective_mode(read_back(file, ci), ci), row.ci) << row.nx_json;
  }
}

TEST(InitPlanTest, AServerThatGetsATokenIsForTheUsersOwnFile) {
  auto plan = plan_of("{}", kServerWithToken);
  EXPECT_TRUE(read_back(plan.file, {}).remotes.empty()) << plan.file;
  EXPECT_NE(notes_of(plan).find("  url = \"nx+https://cache.example.com/nx\"\n"), std::string::npos) << notes_of(plan);
  EXPECT_NE(notes_of(plan).find("~/.config/hitfs/config.toml"), std::string::npos);

  // What is printed is a configuration: a user who follows it has that remote.
  TempDir folder;
  std::string own;
  for (const auto& note : plan.notes) own += note.starts_with("  ") ? note + "\n" : "";
  std::filesystem::create_directories(folder / "hitfs");
  std::ofstream(folder / "hitfs/config.toml") << own;
  ConfigSources sources;
  sources.environment = {{"XDG_CONFIG_HOME", folder.path().string()}};
  sources.working_directory = folder.path();
  auto config = load_config(sources);
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->remotes.size(), 1u) << own;
  EXPECT_EQ(config->remotes[0].options.url, "nx+https://cache.example.com/nx");
}

TEST(InitPlanTest, AServerWithoutATokenStandsInTheWorkspace) {
  Environment server = {{"NX_SELF_HOSTED_REMOTE_CACHE_SERVER", "https://open.example.com/"}};
  auto config = read_back(plan_of("{}", server).file, {});
  ASSERT_EQ(config.remotes.size(), 1u);
  EXPECT_EQ(config.remotes[0].options.url, "nx+https://open.example.com");
}

// A value in every place where somebody may keep a secret, and in places where none belongs.
TEST(InitPlanTest, SecretsShowUpNowhere) {
  const std::string secret = "s3cr3t-value";
  const std::string nx_json =
      R"({"s3": {"bucket": "b", "endpoint": "https://x:s3cr3t-value@h/s3cr3t-value?s3cr3t-value",
      "accessKeyId": "s3cr3t-value", "secretAccessKey": "s3cr3t-value", "encryptionKey": "s3cr3t-value",
      "ssoProfile": "s3cr3t-value", "s3cr3t-value": 1, "localMode": "s3cr3t-value", "ciMode": {"s3cr3t-value": 1}},
    "azure": {"container": "c?s3cr3t-value", "accountName": "s3cr3t-value=", "accountKey": "s3cr3t-value"},
    "gcs": {"bucket": {"s3cr3t-value": 1}, "credentials": "s3cr3t-value"}, "sharedFs": {"token": "s3cr3t-value"},
    "nxCloudAccessToken": "s3cr3t-value", "nxCloudId": "s3cr3t-value", "extends": "s3cr3t-value",
    "tasksRunnerOptions": {"s3cr3t-value": {"runner": "r:s3cr3t-value", "options": {"accessToken": "s3cr3t-value",
      "encryptionKey": "s3cr3t-value", "url": "https://s3cr3t-value"}}}, "s3cr3t-value": "s3cr3t-value"})";
  for (const char* server : {"https://s3cr3t-value@h", "https://u:s3cr3t-value@h/", "https://h/?token=s3cr3t-value",
                             "s3cr3t-value", "https://h/#s3cr3t-value", "https://cache.example.com"}) {
    Environment environment = {{"NX_SELF_HOSTED_REMOTE_CACHE_SERVER", server}};
    for (const char* name : {"NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN", "HITFS_TOKEN", "HITFS_TOKEN_TEAM", "NX_KEY",
                             "NX_POWERPACK_LICENSE", "NX_CLOUD_ACCESS_TOKEN", "NX_CLOUD_AUTH_TOKEN",
                             "NX_POWERPACK_CACHE_MODE", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"}) {
      environment[name] = secret;
    }
    environment["NX_CACHE_DIRECTORY"] = "/mnt/" + secret;
    auto plan = plan_of(nx_json, environment);
    EXPECT_EQ(plan.file.find(secret), std::string::npos) << plan.file;
    EXPECT_EQ(notes_of(plan).find(secret), std::string::npos) << notes_of(plan);
  }
}

}  // namespace hitfs::testing
