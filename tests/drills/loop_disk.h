#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace hitfs::testing {

// A disk of a test's own: a file in `folder` as a loop device with ext4 on it. Gone with its owner, whatever still has
// files open on it.
class LoopDisk {
 public:
  // Mounts it at `place`, which is made.
  LoopDisk(const std::filesystem::path& folder, std::filesystem::path place, size_t bytes);
  ~LoopDisk();
  LoopDisk(const LoopDisk&) = delete;
  LoopDisk& operator=(const LoopDisk&) = delete;

  // What was wrong at the start (no root, no loop devices, no mkfs.ext4): a test skips with it.
  [[nodiscard]] const std::optional<std::string>& failure() const { return failure_; }

  // The kernel finds an error in the file system and takes no more changes, as after a bad sector.
  [[nodiscard]] bool become_read_only();
  // Checked and mounted again, as an administrator does. Waits until nothing has files open on it.
  [[nodiscard]] bool repair();

 private:
  [[nodiscard]] bool attach();

  std::filesystem::path image_, place_;
  std::optional<std::string> failure_;
};

}  // namespace hitfs::testing
