#include "tests/support/read_all.h"

#include <fstream>
#include <iterator>

namespace hitfs::testing {

std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace hitfs::testing
