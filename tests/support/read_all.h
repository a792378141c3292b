#pragma once

#include <filesystem>
#include <string>

namespace hitfs::testing {

// All of a file; empty when it cannot be read.
[[nodiscard]] std::string read_all(const std::filesystem::path& path);

}  // namespace hitfs::testing
