#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/store_paths.h"

namespace hitfs {

// A body on its way into the store: a file in the listener's own staging folder. It goes with its owner,
// unless the daemon has taken it. One thread at a time.
class Upload {
 public:
  Upload(std::filesystem::path path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  Status write(std::span<const std::byte> bytes);
  [[nodiscard]] std::string name() const { return path_.filename().string(); }
  [[nodiscard]] uint64_t size() const { return size_; }

 private:
  std::filesystem::path path_;
  UniqueFd file_;
  uint64_t size_ = 0;
};

// staging/<front>/ of a listener. Safe from several threads.
//
// No name is ever used twice, not by a successor either: the daemon may still have to open a file that a listener
// handed over before it was killed, and would take another key's bytes.
class UploadFolder {
 public:
  UploadFolder(const StorePaths& paths, std::string front);

  // Removes what a killed listener left, as far as that goes. Makes nothing: the store itself is the daemon's to make.
  void clear();
  // `no_space` when the disk has not `size` bytes left; `unavailable` while there is no store.
  Result<std::unique_ptr<Upload>> begin(uint64_t size);
  [[nodiscard]] const std::string& front() const { return front_; }

 private:
  StorePaths paths_;
  std::string front_;
  std::string life_;  // of this object, at random
  std::atomic<uint64_t> last_number_{0};
};

}  // namespace hitfs
