#include "tests/clients/nx_versions.h"

#include <algorithm>

#include "tests/clients/nx_workspace.h"
#include "tests/support/tools.h"

namespace hitfs::testing {

void NxVersionTest::SetUp() {
  const auto modules = nx_modules(GetParam());
  HITFS_NEEDS(modules, "nx " + GetParam(), "scripts/test-tools.sh");
  HITFS_NEEDS(find_tool("node", "HITFS_TEST_NODE"), "node", "apt-get install nodejs");
  modules_ = *modules;
}

std::string nx_test_name(const ::testing::TestParamInfo<std::string>& version) {
  std::string name = "nx" + version.param;
  std::replace(name.begin(), name.end(), '.', 'x');
  return name;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

}  // namespace hitfs::testing
