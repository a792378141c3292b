#include "sync/scratch.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "store/base/io.h"

namespace hitfs {

namespace {

class DescriptorSource final : public ByteSource {
 public:
  DescriptorSource(int fd, uint64_t offset, uint64_t size) : fd_(fd), offset_(offset), left_(size), size_(size) {}

  Result<size_t> read(std::span<std::byte> into) override {
    auto wanted = static_cast<size_t>(std::min<uint64_t>(into.size(), left_));
    auto got = io::read_at(fd_, into.first(wanted), offset_);
    if (!got) return got;
    if (*got < wanted) return Error{Code::corrupt, "file is shorter than expected"};
    offset_ += *got;
    left_ -= *got;
    return got;
  }
  std::optional<uint64_t> size() const override { return size_; }

 private:
  int fd_;
  uint64_t offset_;
  uint64_t left_;
  uint64_t size_;
};

}  // namespace

std::unique_ptr<ByteSource> read_descriptor(int fd, uint64_t offset, uint64_t size) {
  return std::make_unique<DescriptorSource>(fd, offset, size);
}

Result<std::unique_ptr<Scratch>> Scratch::open(const std::filesystem::path& folder) {
  if (auto removed = io::remove_tree(folder, "scratch"); !removed) return std::move(removed).error();
  if (auto made = io::make_directories(folder, 0700, "scratch"); !made) return std::move(made).error();
  return std::unique_ptr<Scratch>(new Scratch(folder));
}

Result<std::unique_ptr<Scratch::File>> Scratch::create() {
  auto path = folder_ / std::to_string(++last_number_);
  auto fd = io::create(path, "scratch");
  if (!fd) return std::move(fd).error();
  return std::make_unique<File>(std::move(path), *std::move(fd));
}

Result<std::unique_ptr<Scratch::File>> Scratch::File::take_over(const std::filesystem::path& path) {
  auto fd = io::open_write(path);
  if (!fd) return std::move(fd).error();
  struct stat info {};
  if (::fstat(fd->get(), &info) < 0) return system_error("stat " + path.string(), errno);
  if (!S_ISREG(info.st_mode)) return Error{Code::invalid_argument, path.string() + " is no regular file"};
  return std::make_unique<File>(path, *std::move(fd), static_cast<uint64_t>(info.st_size));
}

Scratch::File::~File() {
  // Already gone when the store took it by rename.
  [[maybe_unused]] auto gone = io::unlink(path_, "scratch");
}

Status Scratch::File::write(std::span<const std::byte> bytes) {
  if (bytes.size() > limit_ - size_) {
    return Error{Code::no_space, "larger than the limit of " + std::to_string(limit_) + " bytes"};
  }
  if (auto written = io::write_all_at(fd_.get(), bytes, size_, "scratch"); !written) return written;
  size_ += bytes.size();
  return Ok{};
}

Status Scratch::File::restart() {
  size_ = 0;
  return io::truncate(fd_.get(), 0, "scratch");
}

std::unique_ptr<ByteSource> Scratch::File::read() const { return read_descriptor(fd_.get(), 0, size_); }

}  // namespace hitfs
