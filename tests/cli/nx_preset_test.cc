#include "cli/nx/nx_preset.h"

#include <gtest/gtest.h>

#include <fstream>

#include "cli/nx/nx_workspace.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

class NxPresetTest : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& text = "{}") {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  // Where it was found, from the folder of the test; "" for nowhere.
  std::string found(const std::string& name) {
    auto file = find_nx_preset(folder_ / "ws", name);
    return file ? file->lexically_relative(folder_.path()).string() : "";
  }

  testing::TempDir folder_;
};

TEST_F(NxPresetTest, AFileOfTheWorkspace) {
  put("ws/tools/base.json");
  EXPECT_EQ(found("./tools/base.json"), "ws/tools/base.json");
  EXPECT_EQ(found("./tools/base"), "ws/tools/base.json");
  EXPECT_EQ(found("./tools/other.json"), "");
}

TEST_F(NxPresetTest, AFileOfAPackageWithoutExports) {
  put("node_modules/nx/package.json");
  put("node_modules/nx/presets/npm.json");
  put("ws/node_modules/@org/config/package.json", R"({"name": "@org/config"})");
  put("ws/node_modules/@org/config/nx.json");
  EXPECT_EQ(found("nx/presets/npm.json"), "node_modules/nx/presets/npm.json");
  EXPECT_EQ(found("@org/config/nx"), "ws/node_modules/@org/config/nx.json");
  // The nearest package decides, as in node.
  put("ws/node_modules/nx/package.json");
  EXPECT_EQ(found("nx/presets/npm.json"), "");
}

// The exports of nx 24.0.6, shortened.
TEST_F(NxPresetTest, AFileOfAPackageWithExports) {
  put("ws/node_modules/nx/package.json", R"({"exports": {
    ".": "./dist/bin/nx.js",
    "./migrations": "./migrations.json",
    "./presets/*": {"@nx/nx-source": "./presets/*.json", "default": "./dist/presets/*.json"},
    "./presets/*.json": {"@nx/nx-source": "./presets/*.json", "default": "./dist/presets/*.json"},
    "./closed/*": null, "./out/*": "../*", "./late/*": {"default": "./dist/late.json"}}})");
  put("ws/node_modules/nx/dist/presets/npm.json");
  put("ws/node_modules/nx/migrations.json");
  for (const char* hidden : {"presets/npm.json", "closed/a.json", "dist/late.json", "other.json"}) {
    put("ws/node_modules/nx/" + std::string(hidden));
  }
  put("ws/node_modules/a.json");
  EXPECT_EQ(found("nx/presets/npm.json"), "ws/node_modules/nx/dist/presets/npm.json");
  EXPECT_EQ(found("nx/presets/npm"), "ws/node_modules/nx/dist/presets/npm.json");
  EXPECT_EQ(found("nx/migrations"), "ws/node_modules/nx/migrations.json");
  for (const char* closed : {"nx/closed/a.json", "nx/other.json", "nx/out/a.json"}) EXPECT_EQ(found(closed), "");
}

TEST_F(NxPresetTest, NoNameLeadsOutside) {
  put("base.json");
  put("ws/base.json");
  put("ws/node_modules/a/package.json");
  put("ws/node_modules/base.json");
  auto absolute = (folder_ / "base.json").string();
  for (const auto& name : {std::string("../base.json"), std::string("./../base.json"), absolute, std::string("/"),
                           std::string("./"), std::string("a/../base.json"), std::string("a"), std::string("@a"),
                           std::string("@a/b"), std::string("../ws/base.json"), std::string("")}) {
    EXPECT_EQ(found(name), "") << name;
  }
}

TEST_F(NxPresetTest, IsReadWithTheWorkspace) {
  put("ws/nx.json", R"({"extends": "nx/presets/team.json", "gcs": {"bucket": "own"}})");
  const NxWorkspace workspace{folder_ / "ws"};
  EXPECT_TRUE(read_nx_json(workspace).value().extends);
  put("node_modules/nx/package.json");
  put("node_modules/nx/presets/team.json", R"({"cacheDirectory": "tmp/nx", "gcs": {"bucket": "b"}})");
  auto json = read_nx_json(workspace).value();
  EXPECT_FALSE(json.extends);
  EXPECT_EQ(json.cache_directory, "tmp/nx");
  ASSERT_EQ(json.packages.size(), 1u);
  EXPECT_EQ(json.packages[0].place, "bucket own");
}

}  // namespace
}  // namespace hitfs
