#include "store/blobs/staged_blob.h"

#include "store/base/io.h"
#include "store/blobs/pack.h"

namespace hitfs {

StagedBlob::~StagedBlob() {
  if (!file_) return;
  // What cannot be removed now is removed at the next open.
  [[maybe_unused]] auto gone = io::unlink(part_, "blob");
}

Status StagedBlob::write(std::span<const std::byte> bytes) {
  if (bytes.size() > limit_ - size_) {
    return Error{Code::no_space, "larger than the store's limit; raise the limit"};
  }
  hasher_.update(bytes);
  size_ += bytes.size();
  if (buffer_.size() + bytes.size() < kPackedBelow) {
    buffer_ += io::as_text(bytes);
    return Ok{};
  }
  if (auto flushed = flush_buffer(); !flushed) return flushed;
  if (bytes.size() >= kPackedBelow) return io::write_all(file_.get(), bytes, "blob");
  buffer_ += io::as_text(bytes);
  return Ok{};
}

Status StagedBlob::flush_buffer() {
  if (!file_) {
    auto made = io::create(part_, "blob", {.mode = 0400});
    if (!made) return std::move(made).error();
    file_ = *std::move(made);
  }
  if (buffer_.empty()) return Ok{};
  auto written = io::write_all(file_.get(), io::as_bytes(buffer_), "blob");
  buffer_.clear();
  return written;
}

Result<Digest> StagedBlob::finish() {
  if (file_) {
    if (auto flushed = flush_buffer(); !flushed) return std::move(flushed).error();
  }
  return hasher_.finish();
}

std::span<const std::byte> StagedBlob::bytes() const { return io::as_bytes(buffer_); }

}  // namespace hitfs
