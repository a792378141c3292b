#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>

#include "store/base/unique_fd.h"

namespace hitfs::testing {

// What fsx does: random reads, writes, truncations and mappings of one file, each compared with an image in memory.
class FileExerciser {
 public:
  FileExerciser(std::filesystem::path file, uint64_t seed);

  // One operation; false when the file is not what the image says. What was wrong is in failure().
  bool step();
  // The whole file, read anew.
  bool holds();
  // The file goes on under this name.
  bool rename(const std::filesystem::path& to);

  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] std::string counts() const;

 private:
  enum Kind { kRead, kWrite, kAppend, kTruncate, kMapRead, kMapWrite, kReopen, kSync, kKinds };

  bool read();
  bool write(size_t offset);
  bool truncate();
  bool map(bool writes);
  bool open();
  bool same(size_t offset, const std::string& bytes, const char* what);
  bool fail(const std::string& what);
  size_t any(size_t below) { return random_() % below; }
  std::string noise(size_t size);

  std::filesystem::path file_;
  std::mt19937_64 random_;
  UniqueFd fd_;
  std::string image_;
  std::string failure_;
  std::array<uint64_t, kKinds> done_{};
};

}  // namespace hitfs::testing
