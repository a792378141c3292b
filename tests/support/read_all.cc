#include "tests/support/read_all.h"

#include <fstream>
#include <sstream>

namespace hitfs::testing {

std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream all;
  // Takes a failed read (/proc of a process that just ended) for the end; an iterator would throw.
  all << file.rdbuf();
  return all.str();
}

}  // namespace hitfs::testing
