#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/supervisor/control_client.h"
#include "cli/supervisor/start.h"
#include "store/base/subprocess.h"
#include "tests/support/temp_dir.h"

namespace hitfs::testing {

// A supervisor of fake processes. It ends with the last connection (idle 0), so that a test that dies leaves nothing.
class SupervisorFixture : public ::testing::Test {
 protected:
  SupervisorFixture() {
    config_["store"] = store_.root.string();
    config_["daemon"] = behaviour({"idle"});
    config_["listener"] = behaviour({"listener"});
    config_["worker"] = behaviour({"listener"});
    config_["settings"] = "settings-1";
  }
  ~SupervisorFixture() override {
    if (auto client = ControlClient::connect(store_)) {
      Json stop;
      stop["op"] = "stop";
      stop["flush_ms"] = 0;
      [[maybe_unused]] auto stopped = client->request(stop, limit());
    }
    EXPECT_TRUE(wait_until_free(store_, limit()).has_value());
  }

  static Deadline limit() { return Deadline::after(std::chrono::seconds(60)); }
  static Json behaviour(const std::vector<std::string>& words) {
    Json::Array arguments{FAKE_PROCESS, "child"};
    for (const auto& word : words) arguments.push_back(word);
    return arguments;
  }
  SupervisorCommand command() const { return {"", {FAKE_PROCESS, "supervisor"}, environment_without({}), config_}; }
  Result<ControlClient> reach() const {
    return reach_supervisor(
        store_, [this] { return command(); }, limit());
  }

  static Json request(const std::string& operation) {
    Json json;
    json["op"] = operation;
    return json;
  }
  static Json lease(bool endpoint) {
    Json json = request("lease");
    json["endpoint"] = endpoint;
    return json;
  }

  TempDir folder_;
  StorePaths store_{folder_ / "store"};
  Json config_;
};

inline std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

}  // namespace hitfs::testing
