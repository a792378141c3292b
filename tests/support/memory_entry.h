#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "store/base/io.h"
#include "sync/remotes/remote.h"

namespace hitfs::testing {

// Reads from text; fails after `fail_after` bytes when that is given.
class TextSource final : public ByteSource {
 public:
  explicit TextSource(std::string_view text, std::optional<size_t> fail_after = std::nullopt)
      : text_(text), fail_after_(fail_after) {}
  Result<size_t> read(std::span<std::byte> into) override {
    size_t end = std::min(text_.size(), fail_after_.value_or(text_.size()));
    if (fail_after_ && at_ == end) return Error{Code::corrupt, "the source failed"};
    size_t some = std::min(into.size(), end - at_);
    std::memcpy(into.data(), text_.data() + at_, some);
    at_ += some;
    return some;
  }
  [[nodiscard]] std::optional<uint64_t> size() const override { return text_.size(); }

 private:
  std::string_view text_;
  std::optional<size_t> fail_after_;
  size_t at_ = 0;
};

// An entry whose artifact is a text.
class MemoryEntry final : public EntryReader {
 public:
  explicit MemoryEntry(std::string bytes, std::optional<size_t> fail_after = std::nullopt)
      : bytes_(std::move(bytes)), fail_after_(fail_after) {}
  Result<std::unique_ptr<ByteSource>> artifact() override {
    ++opened;
    return std::unique_ptr<ByteSource>(std::make_unique<TextSource>(bytes_, fail_after_));
  }
  Result<ManifestView> tree() override { return Error{Code::invalid_argument, "an artifact only"}; }
  Result<std::unique_ptr<ByteSource>> blob(const Digest&) override { return Error{Code::not_found, "no blobs"}; }

  int opened = 0;

 private:
  std::string bytes_;
  std::optional<size_t> fail_after_;
};

// Collects what a remote sends.
class MemoryWriter final : public EntryWriter, public ByteSink {
 public:
  Result<ByteSink*> artifact(std::optional<uint64_t> size) override {
    ++started;
    announced = size;
    bytes.clear();
    if (refuse_artifact) return *refuse_artifact;
    return static_cast<ByteSink*>(this);
  }
  Result<bool> has_blob(const Digest&) override { return false; }
  Result<ByteSink*> blob(const Digest&) override { return Error{Code::invalid_argument, "artifacts only"}; }
  Status tree(ManifestBuilder, const ManifestHeader&) override {
    return Error{Code::invalid_argument, "artifacts only"};
  }
  Status write(std::span<const std::byte> piece) override {
    bytes += io::as_text(piece);
    if (on_write) on_write(bytes.size());
    if (fail_at && bytes.size() >= *fail_at) return Error{Code::no_space, "the writer's disk is full"};
    return Ok{};
  }

  int started = 0;
  std::optional<uint64_t> announced;
  std::string bytes;
  std::optional<Error> refuse_artifact;
  std::optional<size_t> fail_at;
  std::function<void(size_t)> on_write;
};

// A key as the daemon makes them: opaque unless it is the remote's own namespace.
[[nodiscard]] inline RemoteKey remote_key(const Remote& remote, const std::string& name,
                                          const std::string& space = "nx") {
  return RemoteKey::of(Key{"", space, name}, 0, remote.own_space());
}

}  // namespace hitfs::testing
