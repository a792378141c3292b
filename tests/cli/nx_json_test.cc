#include "cli/nx/nx_json.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/nx/nx_workspace.h"
#include "cli/nx/relaxed_json.h"
#include "store/base/json.h"
#include "tests/support/temp_dir.h"

namespace hitfs::testing {

namespace {

NxJson read(const std::string& text) {
  auto json = parse_nx_json(text);
  if (!json) ADD_FAILURE() << text << ": " << json.error().message;
  return json ? std::move(*json) : NxJson{};
}

std::string mode_of(const std::optional<NxMode>& mode) {
  if (!mode) return "-";
  constexpr const char* kWords[] = {"off", "read", "write", "readwrite"};
  return mode->word + "=" + kWords[static_cast<int>(mode->mode)];
}

// Everything that was read, in one line.
std::string described(const NxJson& json) {
  std::string text;
  for (const auto& one : json.packages) {
    text += one.key + "[" + one.place + "][" + mode_of(one.local_mode) + "," + mode_of(one.ci_mode) + "]";
    for (const auto& secret : one.secrets) text += " !" + secret;
    text += "; ";
  }
  if (!json.cache_directory.empty()) text += "dir " + json.cache_directory + "; ";
  for (const auto& runner : json.runners) text += "runner " + runner + "; ";
  if (json.cloud) text += "cloud; ";
  if (json.never_cloud) text += "never cloud; ";
  if (json.legacy_cache) text += "legacy; ";
  if (json.extends) text += "extends; ";
  for (const auto& remark : json.remarks) text += "? " + remark + "; ";
  return text;
}

struct Row {
  const char* name;
  const char* text;
  const char* expected;
};

}  // namespace

class NxJsonTable : public ::testing::TestWithParam<Row> {};

TEST_P(NxJsonTable, SaysWhatIsThere) { EXPECT_EQ(described(read(GetParam().text)), GetParam().expected); }

INSTANTIATE_TEST_SUITE_P(
    Rows, NxJsonTable,
    ::testing::Values(
        Row{"Nothing", "{}", ""},
        Row{"S3", R"({"s3": {"bucket": "b", "region": "eu-1", "localMode": "read-only"}})",
            "s3[bucket b, region eu-1][read-only=read,-]; "},
        Row{"S3Endpoint", R"({"s3": {"endpoint": "https://user:pass@minio:9000/path?secret=1", "ciMode": "no-cache"}})",
            "s3[endpoint https://minio:9000][-,no-cache=off]; "},
        Row{"Secrets", R"({"s3": {"accessKeyId": "A", "secretAccessKey": "B", "encryptionKey": "C"}})",
            "s3[][-,-] !accessKeyId !secretAccessKey !encryptionKey; "},
        Row{"Gcs", R"({"gcs": {"bucket": "b", "localMode": "read"}})", "gcs[bucket b][read=read,-]; "},
        Row{"Azure", R"({"azure": {"container": "c", "accountName": "a", "ciMode": "read-write"}})",
            "azure[container c, accountName a][-,read-write=readwrite]; "},
        Row{"SharedFs", R"({"sharedFs": {"ciMode": "read-only"}, "cacheDirectory": "/mnt/nx"})",
            "sharedFs[][-,read-only=read]; dir /mnt/nx; "},
        Row{"InTheOrderOfNx", R"({"azure": {}, "gcs": {}, "sharedFs": {}, "s3": {}})",
            "s3[][-,-]; sharedFs[][-,-]; gcs[][-,-]; azure[][-,-]; "},
        Row{"OldCacheDirectory", R"({"tasksRunnerOptions": {"default": {"options": {"cacheDirectory": "tmp/c"}}}})",
            "dir tmp/c; "},
        Row{"CustomRunner", R"({"tasksRunnerOptions": {"default": {"runner": "nx-remotecache-s3", "options": {}}}})",
            "runner nx-remotecache-s3; "},
        Row{"DefaultRunner", R"({"tasksRunnerOptions": {"default": {"runner": "nx/tasks-runners/default"}}})", ""},
        Row{"CloudRunner", R"({"tasksRunnerOptions": {"default": {"runner": "nx-cloud"}}})", "cloud; "},
        Row{"CloudId", R"({"nxCloudId": "123"})", "cloud; "},
        Row{"CloudToken", R"({"nxCloudAccessToken": "t", "neverConnectToCloud": true})", "cloud; never cloud; "},
        Row{"LegacyCache", R"({"useLegacyCache": true})", "legacy; "},
        Row{"Extends", R"({"extends": "nx/presets/npm.json"})", "extends; "},
        Row{"UnknownMode", R"({"s3": {"localMode": "sometimes"}})",
            "s3[][=read,-]; ? s3.localMode is no mode that nx documents (read-write, read-only, no-cache); "},
        Row{"ModeOfAWrongType", R"({"gcs": {"ciMode": 1}})",
            "gcs[][-,=read]; ? gcs.ciMode is no mode that nx documents (read-write, read-only, no-cache); "},
        Row{"WrongTypes",
            R"({"s3": "bucket", "gcs": {"bucket": ["b"]}, "cacheDirectory": 7, "tasksRunnerOptions": []})",
            "gcs[][-,-]; ? s3 is not an object; ? gcs.bucket is not a text; ? tasksRunnerOptions is not an object; "
            "? cacheDirectory is not a text; "},
        Row{"RunnersOfAWrongType", R"({"tasksRunnerOptions": {"default": "x", "other": {"runner": 3}}})", ""},
        Row{"LineEndsAndQuotes", R"({"s3": {"bucket": "b\nremote = 'evil'", "region": "\"", "endpoint": "not a url"}})",
            "s3[][-,-]; ? s3.bucket is not a plain name or path; ? s3.region is not a plain name or path; "
            "? s3.endpoint is not a URL; "},
        Row{"RunnerWithAnythingInIt", R"({"tasksRunnerOptions": {"default": {"runner": "x\ny"}}})",
            "runner a custom runner; "},
        Row{"Comments", "\xef\xbb\xbf{ // one\n /* two\n */ \"s3\": {\"bucket\": \"a/*b\", /**/}, // \"gcs\": {}\n}",
            "s3[][-,-]; ? s3.bucket is not a plain name or path; "},
        Row{"TextsThatLookLikeComments", R"({"cacheDirectory": "/a//b", "gcs": {"bucket": "b"},})",
            "gcs[bucket b][-,-]; dir /a//b; "}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(NxJsonTest, WhatIsNoJsonIsRefusedWithItsLineAndWithoutItsText) {
  for (const char* text : {"", "{", "{\n\"s3\": {\"secretAccessKey\": \"hush\" \"x\"}}", "[\"hush\"]", "\"hush\"",
                           "{} hush", "/* hush {}", "{\"a\": ,}"}) {
    auto json = parse_nx_json(text);
    ASSERT_FALSE(json) << text;
    EXPECT_EQ(json.error().code, Code::invalid_argument) << text;
    EXPECT_EQ(json.error().message.find("hush"), std::string::npos) << json.error().message;
  }
  EXPECT_NE(parse_nx_json("{\n// one\n\"s3\": {]\n}").error().message.find("line 3"), std::string::npos);
}

TEST(NxJsonTest, DeepNestingIsRefused) { EXPECT_FALSE(parse_nx_json("{\"a\": " + std::string(100000, '['))); }

// Each of these was a place where a scan could run over the end.
TEST(RelaxedJsonTest, EndsThatAreCutOff) {
  for (const char* text : {"\"", "\"\\", "/", "//", "/*", "/* *", "{\"a\":1,", "\xef\xbb\xbf"}) {
    EXPECT_FALSE(Json::parse(plain_json(text))) << text;
  }
  EXPECT_EQ(plain_json("[1, // one\n 2, /* two */ ]"), "[1,       \n 2            ]");
  EXPECT_EQ(plain_json(R"(["a,]", "\",]",])"), R"(["a,]", "\",]" ])");
}

TEST(NxWorkspaceTest, IsFoundFromBelowAndReadWithItsLimits) {
  TempDir folder;
  auto deep = folder / "packages/app";
  std::filesystem::create_directories(deep);
  EXPECT_FALSE(find_nx_workspace(deep));
  std::ofstream(folder / "nx.json") << "{\"gcs\": {\"bucket\": \"b\"}}";
  auto workspace = find_nx_workspace(deep);
  ASSERT_TRUE(workspace);
  EXPECT_EQ(workspace->root, folder.path());
  EXPECT_EQ(described(read_nx_json(*workspace).value()), "gcs[bucket b][-,-]; ");

  std::ofstream(folder / "nx.json") << "{\n" << std::string(5 << 20, ' ') << "}";
  auto large = read_nx_json(*workspace);
  ASSERT_FALSE(large);
  EXPECT_NE(large.error().message.find("is larger than"), std::string::npos);
  std::ofstream(folder / "nx.json") << "{\n\n}}";
  EXPECT_NE(read_nx_json(*workspace).error().message.find("nx.json: not valid JSON, line 3"), std::string::npos);
}

// Whose members stand where, as nx 20.8 to 24.0 do it: one level, member by member.
TEST(NxJsonTest, WhatAPresetSaysStandsWhereNxJsonSaysNothing) {
  constexpr const char* kOwn = R"({"extends": "./base.json", "s3": {"bucket": "own"}, /* no */ "nxCloudId": ""})";
  constexpr const char* kBase = R"({"extends": "./other.json", "s3": {"bucket": "b", "localMode": "read"},
    "nxCloudId": "id", "cacheDirectory": "tmp/nx", })";
  auto json = parse_nx_json(kOwn, kBase);
  ASSERT_TRUE(json);
  EXPECT_EQ(described(*json), "s3[bucket own][-,-]; dir tmp/nx; ");
  for (const char* bad : {"", "[]", "{"}) {
    auto alone = parse_nx_json(kOwn, bad);
    ASSERT_TRUE(alone) << bad;
    EXPECT_EQ(described(*alone), "s3[bucket own][-,-]; extends; ") << bad;
  }
  EXPECT_EQ(preset_name(kOwn), "./base.json");
  for (const char* none : {"{}", R"({"extends": ["x"]})", "{"}) EXPECT_EQ(preset_name(none), "") << none;
}

TEST(NxWorkspaceTest, PackagesVersionAndKeyAreFoundAsNodeFindsThem) {
  TempDir folder;
  NxWorkspace workspace{folder / "ws"};
  auto put = [&](const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  };
  EXPECT_EQ(installed_cache_packages(workspace.root), std::set<std::string>{});
  EXPECT_EQ(nx_major_version(workspace.root), 0);
  EXPECT_FALSE(has_nx_key_file(workspace));
  put(folder / "ws/node_modules/@nx/s3-cache/package.json", "{}");
  put(folder / "node_modules/@nx/powerpack-shared-fs-cache/package.json", "{}");
  put(folder / "node_modules/nx/package.json", "{\"version\": \"22.6.5\"}");
  put(folder / "ws/.nx/key/key.ini", "secret");
  EXPECT_EQ(installed_cache_packages(workspace.root),
            (std::set<std::string>{"@nx/s3-cache", "@nx/powerpack-shared-fs-cache"}));
  EXPECT_EQ(nx_major_version(workspace.root), 22);
  EXPECT_TRUE(has_nx_key_file(workspace));
}

}  // namespace hitfs::testing
