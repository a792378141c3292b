#pragma once

#include <filesystem>
#include <string>

namespace hitfs::testing {

// A new folder below the system's temporary folder, removed with everything in it. A test that fails prints its path.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace hitfs::testing
