#pragma once

#include <filesystem>

namespace hitfs {

// Calls `look` with `folder` and each one above, until it says true.
template <typename Look>
bool upward(std::filesystem::path folder, Look look) {
  while (!folder.empty()) {
    if (look(folder)) return true;
    if (folder == folder.parent_path()) return false;
    folder = folder.parent_path();
  }
  return false;
}

// A file that can be read without waiting for anybody.
inline bool is_plain_file(const std::filesystem::path& path) {
  std::error_code failure;
  return std::filesystem::is_regular_file(path, failure);
}

}  // namespace hitfs
