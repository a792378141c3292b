#include "tests/support/tools.h"

#include <unistd.h>

#include <cstdlib>
#include <sstream>

namespace hitfs::testing {

std::optional<std::filesystem::path> find_tool(const std::string& name, const std::string& variable) {
  if (const char* named = std::getenv(variable.c_str()); named != nullptr && *named != '\0') return named;
  const char* path = std::getenv("PATH");
  std::istringstream folders((path != nullptr ? std::string(path) : std::string()) + ":/usr/sbin:" HITFS_TEST_TOOLS);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const auto candidate = std::filesystem::path(folder) / name;
    if (!folder.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::nullopt;
}

}  // namespace hitfs::testing
