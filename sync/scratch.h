#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>

#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/stream.h"

namespace hitfs {

// The daemon's own folder for bytes on their way in or out: staging/daemon. Emptied at the daemon's start, so that what
// a killed daemon left costs nothing. Safe from several threads.
class Scratch {
 public:
  static Result<std::unique_ptr<Scratch>> open(const std::filesystem::path& folder);

  // A file that is removed with its owner unless somebody has renamed it away. Written from one thread at a time.
  class File final : public ByteSink {
   public:
    File(std::filesystem::path path, UniqueFd fd, uint64_t size = 0)
        : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}
    // Takes over a finished file that a front has staged.
    static Result<std::unique_ptr<File>> take_over(const std::filesystem::path& path);
    ~File() override;
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    Status write(std::span<const std::byte> bytes) override;
    // Forgets what was written.
    Status restart();
    // More than this many bytes are `no_space`.
    void limit(uint64_t most) { limit_ = most; }

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] uint64_t size() const { return size_; }
    // Reads the whole file from its beginning; several may read at once. The File outlives the source.
    [[nodiscard]] std::unique_ptr<ByteSource> read() const;

   private:
    std::filesystem::path path_;
    UniqueFd fd_;
    uint64_t size_ = 0;
    uint64_t limit_ = UINT64_MAX;
  };

  Result<std::unique_ptr<File>> create();

 private:
  explicit Scratch(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path folder_;
  std::atomic<uint64_t> last_number_{0};
};

// Reads `size` bytes of a descriptor from `offset` on. The descriptor outlives it.
[[nodiscard]] std::unique_ptr<ByteSource> read_descriptor(int fd, uint64_t offset, uint64_t size);

}  // namespace hitfs
