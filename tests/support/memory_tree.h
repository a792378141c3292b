#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "store/base/io.h"
#include "store/codecs/codec.h"
#include "store/manifest.h"
#include "store/text_stream.h"

// Streams and trees in memory, for the tests of archives and codecs.
namespace hitfs::testing {

// Gives a text in pieces of at most `piece` bytes, to move the borders between reads.
class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::string text, size_t piece = SIZE_MAX, bool knows_size = true)
      : text_(std::move(text)), piece_(piece), knows_size_(knows_size) {}

  Result<size_t> read(std::span<std::byte> into) override {
    size_t count = std::min({into.size(), piece_, text_.size() - offset_});
    std::memcpy(into.data(), text_.data() + offset_, count);
    offset_ += count;
    return count;
  }
  [[nodiscard]] std::optional<uint64_t> size() const override {
    return knows_size_ ? std::optional<uint64_t>(text_.size()) : std::nullopt;
  }
  [[nodiscard]] size_t taken() const { return offset_; }

 private:
  std::string text_;
  size_t piece_;
  bool knows_size_;
  size_t offset_ = 0;
};

using MemorySink = TextSink;

// A tree by its paths; "" is the entry itself. Also the contents that its manifest names.
class MemoryTree : public TreeSink, public ContentSource {
 public:
  struct Node {
    FileType type = FileType::file;
    uint16_t mode = 0;
    int64_t mtime_ns = 0;
    std::string bytes;  // or the target of a link
    bool operator==(const Node&) const = default;
  };

  Status root(bool is_file, uint16_t mode, int64_t mtime_ns) override {
    nodes[""] = {is_file ? FileType::file : FileType::directory, mode, mtime_ns, ""};
    return Ok{};
  }
  Status directory(std::string_view path, uint16_t mode, int64_t mtime_ns) override {
    nodes[std::string(path)] = {FileType::directory, mode, mtime_ns, ""};
    return Ok{};
  }
  Status symlink(std::string_view path, std::string_view target, int64_t mtime_ns) override {
    nodes[std::string(path)] = {FileType::symlink, 0777, mtime_ns, std::string(target)};
    return Ok{};
  }
  Result<ByteSink*> begin_file(std::string_view path, uint16_t mode, int64_t mtime_ns,
                               std::optional<uint64_t> size) override {
    open_ = std::string(path);
    announced_ = size;
    nodes[open_] = {FileType::file, mode, mtime_ns, ""};
    file_.text.clear();
    return &file_;
  }
  Status end_file() override {
    if (announced_ && *announced_ != file_.text.size()) return Error{Code::internal, "wrong size announced"};
    nodes[open_].bytes = file_.text;
    return Ok{};
  }

  Result<std::unique_ptr<ByteSource>> open(const Content& content) override {
    auto found = contents_.find(std::get<Digest>(content).hex());
    if (found == contents_.end()) return Error{Code::not_found, "no such content"};
    return std::unique_ptr<ByteSource>(std::make_unique<MemorySource>(found->second, 1000));
  }

  // A file's bytes get a digest; they stay here for open().
  Digest keep(const std::string& bytes) {
    auto digest = Digest::of(io::as_bytes(bytes));
    contents_[digest.hex()] = bytes;
    return digest;
  }
  void damage(const std::string& bytes, const std::string& instead) {
    contents_[Digest::of(io::as_bytes(bytes)).hex()] = instead;
  }

  // The manifest of the nodes; a parent must be there for every path.
  std::string manifest(ManifestHeader header) {
    ManifestBuilder builder;
    std::map<std::string, ManifestBuilder::Node> directories;
    const auto& root_node = nodes.at("");
    bool is_file = root_node.type == FileType::file;
    header.kind = is_file ? EntryKind::file : EntryKind::directory;
    if (is_file) {
      builder.root_file(root_node.mode, root_node.mtime_ns, root_node.bytes.size(), keep(root_node.bytes));
      return builder.finish(header);
    }
    directories[""] = builder.root_directory(root_node.mode, root_node.mtime_ns);
    for (const auto& [path, node] : nodes) {
      if (path.empty()) continue;
      auto slash = path.rfind('/');
      auto parent = directories.at(slash == std::string::npos ? "" : path.substr(0, slash));
      auto name = slash == std::string::npos ? path : path.substr(slash + 1);
      if (node.type == FileType::directory) {
        directories[path] = builder.add_directory(parent, name, node.mode, node.mtime_ns).value();
      } else if (node.type == FileType::symlink) {
        builder.add_symlink(parent, name, node.bytes, node.mtime_ns).value();
      } else {
        builder.add_file(parent, name, node.mode, node.mtime_ns, node.bytes.size(), keep(node.bytes)).value();
      }
    }
    return builder.finish(header);
  }

  std::map<std::string, Node> nodes;

 private:
  std::map<std::string, std::string> contents_;
  std::string open_;
  std::optional<uint64_t> announced_;
  MemorySink file_;
};

}  // namespace hitfs::testing
