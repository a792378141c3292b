#pragma once

#include <string>
#include <string_view>

#include "sync/remotes/remote.h"

// Small entries that go between a remote and memory, without the store.
namespace hitfs {

// Receives one artifact of at most `most` bytes; more is `no_space`. One thread.
class MemoryWriter final : public EntryWriter, private ByteSink {
 public:
  explicit MemoryWriter(size_t most) : most_(most) {}

  Result<ByteSink*> artifact(std::optional<uint64_t> size) override {
    if (size && *size > most_) return too_large();
    bytes_.clear();
    return static_cast<ByteSink*>(this);
  }
  Result<bool> has_blob(const Digest&) override { return no_tree(); }
  Result<ByteSink*> blob(const Digest&) override { return no_tree(); }
  Status tree(ManifestBuilder, const ManifestHeader&) override { return no_tree(); }

  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  static Error too_large() { return {Code::no_space, "the entry is larger than it may be"}; }
  static Error no_tree() { return {Code::invalid_argument, "this entry has no tree"}; }
  Status write(std::span<const std::byte> bytes) override {
    if (bytes_.size() + bytes.size() > most_) return too_large();
    bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return Ok{};
  }

  const size_t most_;
  std::string bytes_;
};

// Bytes in memory, which outlive it.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::string_view bytes) : left_(bytes), size_(bytes.size()) {}
  Result<size_t> read(std::span<std::byte> into) override {
    auto count = left_.copy(reinterpret_cast<char*>(into.data()), into.size());
    left_.remove_prefix(count);
    return count;
  }
  [[nodiscard]] std::optional<uint64_t> size() const override { return size_; }

 private:
  std::string_view left_;
  const uint64_t size_;
};

// Sends one artifact, whose bytes outlive it.
class MemoryReader final : public EntryReader {
 public:
  explicit MemoryReader(std::string_view bytes) : bytes_(bytes) {}
  Result<std::unique_ptr<ByteSource>> artifact() override {
    return std::unique_ptr<ByteSource>(std::make_unique<MemorySource>(bytes_));
  }
  Result<ManifestView> tree() override { return Error{Code::invalid_argument, "this entry has no tree"}; }
  Result<std::unique_ptr<ByteSource>> blob(const Digest&) override {
    return Error{Code::invalid_argument, "this entry has no blobs"};
  }

 private:
  const std::string_view bytes_;
};

}  // namespace hitfs
