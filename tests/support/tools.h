#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>

namespace hitfs::testing {

// A real tool that tests run against: named by `variable` in the environment (HITFS_TEST_NGINX=/opt/nginx), else on
// PATH or in /usr/sbin, else in build/tools, which scripts/test-tools.sh fills. nullopt when it is nowhere.
std::optional<std::filesystem::path> find_tool(const std::string& name, const std::string& variable);

}  // namespace hitfs::testing

// Skips the test when `tool` (of find_tool) is missing. scripts/test.sh counts the reasons, and makes these an error in
// CI.
#define HITFS_NEEDS(tool, name, remedy) \
  if (!(tool)) GTEST_SKIP() << "missing tool: " << (name) << " (" << (remedy) << ")"
