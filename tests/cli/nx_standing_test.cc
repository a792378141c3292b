#include "cli/nx/nx_standing.h"

#include <gtest/gtest.h>

#include <string>

namespace hitfs::testing {

namespace {

using Environment = std::map<std::string, std::string>;

struct Row {
  const char* name;
  Environment environment;
  const char* nx_json;
  std::set<std::string> packages;
  bool mounted;
  NxWay way;
  const char* in_line;
};

const Environment kCiWithKey = {{"CI", "true"}, {"NX_KEY", "key-secret"}};

}  // namespace

class NxStandingTable : public ::testing::TestWithParam<Row> {};

TEST_P(NxStandingTable, TakesTheWayThatNxTakes) {
  const auto& row = GetParam();
  NxSituation situation;
  situation.environment = row.environment;
  situation.json = parse_nx_json(row.nx_json).value();
  situation.packages = row.packages;
  situation.mounted = row.mounted;
  auto standing = nx_standing(situation);
  EXPECT_EQ(standing.way, row.way) << standing.line;
  EXPECT_NE(standing.line.find(row.in_line), std::string::npos) << standing.line;
  EXPECT_EQ(standing.line.find("secret"), std::string::npos) << standing.line;
  EXPECT_EQ(standing.line.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, NxStandingTable,
    ::testing::Values(
        Row{"Plain", {}, "{}", {}, false, NxWay::endpoint, "nx uses the endpoint: no directory is mounted"},
        Row{"MountInCiWithKey",
            kCiWithKey,
            "{}",
            {"@nx/shared-fs-cache"},
            true,
            NxWay::mount,
            "nx uses the mount: it is in CI, and @nx/shared-fs-cache has its key"},
        Row{"OlderPackageAndLicense",
            {{"GITLAB_CI", "1"}, {"NX_POWERPACK_LICENSE", "secret"}},
            "{}",
            {"@nx/powerpack-shared-fs-cache"},
            true,
            NxWay::mount,
            "@nx/powerpack-shared-fs-cache"},
        Row{"MountWithoutThePackage", kCiWithKey, "{}", {}, true, NxWay::endpoint, "is not installed"},
        Row{"MountOnALaptop",
            {{"NX_KEY", "secret"}},
            "{}",
            {"@nx/shared-fs-cache"},
            true,
            NxWay::endpoint,
            "not the mount: its shared-directory package is active only in CI"},
        Row{"MountWithoutAKey",
            {{"CI", "1"}},
            "{}",
            {"@nx/shared-fs-cache"},
            true,
            NxWay::endpoint,
            "finds no key (NX_KEY)"},
        Row{"SharedDirectoryOfSomebodyElse",
            kCiWithKey,
            "{}",
            {"@nx/shared-fs-cache"},
            false,
            NxWay::other,
            "not a mount of hitfs"},
        Row{"SharedDirectoryOnALaptop",
            {{"NX_KEY", "secret"}},
            "{}",
            {"@nx/shared-fs-cache"},
            false,
            NxWay::endpoint,
            "nx uses the endpoint"},
        Row{"S3ComesBeforeTheMount",
            kCiWithKey,
            R"({"s3": {"bucket": "b", "secretAccessKey": "secret"}})",
            {"@nx/s3-cache", "@nx/shared-fs-cache"},
            true,
            NxWay::other,
            "nx asks @nx/s3-cache before the endpoint"},
        Row{"S3WithoutSettings", {}, "{}", {"@nx/s3-cache"}, false, NxWay::endpoint, "nx uses the endpoint"},
        Row{"S3WithoutThePackage", {}, R"({"s3": {}})", {}, false, NxWay::endpoint, "nx uses the endpoint"},
        Row{"TheMountComesBeforeGcs",
            kCiWithKey,
            R"({"gcs": {"bucket": "b"}})",
            {"@nx/gcs-cache", "@nx/shared-fs-cache"},
            true,
            NxWay::mount,
            "nx uses the mount"},
        Row{"GcsComesBeforeTheEndpoint",
            {},
            R"({"gcs": {"bucket": "b"}})",
            {"@nx/powerpack-gcs-cache"},
            true,
            NxWay::other,
            "nx asks @nx/powerpack-gcs-cache"},
        Row{"AzureComesBeforeTheEndpoint", {}, R"({"azure": {}})", {"@nx/azure-cache"}, false, NxWay::other, "azure"},
        Row{"CloudComesFirst",
            kCiWithKey,
            R"({"nxCloudAccessToken": "secret"})",
            {"@nx/shared-fs-cache"},
            true,
            NxWay::other,
            "with NX_NO_CLOUD=true it uses the endpoint"},
        Row{"CloudByVariable", {{"NX_CLOUD_ACCESS_TOKEN", "secret"}}, "{}", {}, false, NxWay::other, "Nx Cloud"},
        Row{"CloudSwitchedOff",
            {{"NX_NO_CLOUD", "true"}},
            R"({"nxCloudId": "secret"})",
            {},
            false,
            NxWay::endpoint,
            "nx uses the endpoint"},
        Row{"CloudNever",
            {{"NX_CLOUD_AUTH_TOKEN", "secret"}},
            R"({"neverConnectToCloud": true})",
            {},
            false,
            NxWay::endpoint,
            "nx uses the endpoint"},
        Row{"Skipped",
            {{"NX_SKIP_REMOTE_CACHE", "true"}},
            "{}",
            {},
            false,
            NxWay::other,
            "no remote cache: NX_SKIP_REMOTE_CACHE is set"},
        Row{"SkippedMeansTrueAlone", {{"NX_SKIP_NX_CACHE", "1"}}, "{}", {}, false, NxWay::endpoint, "the endpoint"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(NxStandingTest, CustomRunnersAndTheLegacyCacheCountInNx20Alone) {
  NxSituation runner, legacy, by_variable;
  runner.json = parse_nx_json(R"({"tasksRunnerOptions": {"default": {"runner": "nx-remotecache-s3"}}})").value();
  legacy.json = parse_nx_json(R"({"useLegacyCache": true})").value();
  by_variable.environment["NX_DB_CACHE"] = "false";
  for (int major : {0, 20, 21, 24}) {
    runner.major = legacy.major = by_variable.major = major;
    EXPECT_EQ(nx_standing(runner).way, NxWay::endpoint) << major;
    EXPECT_EQ(nx_standing(runner).line.find(", if nx-remotecache-s3") != std::string::npos, major == 20) << major;
    EXPECT_EQ(nx_standing(legacy).way, major == 20 ? NxWay::other : NxWay::endpoint) << major;
    EXPECT_EQ(nx_standing(by_variable).way, nx_standing(legacy).way) << major;
  }
}

TEST(NxStandingTest, CiIsWhatNxTakesForCi) {
  EXPECT_FALSE(nx_is_in_ci({}));
  EXPECT_FALSE(nx_is_in_ci({{"CI", "false"}, {"GITHUB_ACTIONS", "true"}})) << "as nx 24 decides it";
  EXPECT_FALSE(nx_is_in_ci({{"GITHUB_ACTIONS", "1"}}));
  EXPECT_FALSE(nx_is_in_ci({{"CI", ""}, {"JENKINS_URL", ""}}));
  for (const Environment& in_ci : {Environment{{"CI", "0"}}, Environment{{"GITHUB_ACTIONS", "true"}},
                                   Environment{{"JENKINS_URL", "http://j"}}, Environment{{"BUILD_NUMBER", "7"}}}) {
    EXPECT_TRUE(nx_is_in_ci(in_ci)) << in_ci.begin()->first;
  }
}

}  // namespace hitfs::testing
