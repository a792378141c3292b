#include "store/codecs/flat_codec.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "store/archive/gzip.h"
#include "store/base/io.h"
#include "store/codecs/flat_mark.h"
#include "store/codecs/tree_tar.h"

namespace hitfs {

namespace {

constexpr size_t kPieceBytes = 256 << 10;
constexpr uint16_t kPlainFileMode = 0644;

// A source whose first bytes were looked at already.
class PeekedSource : public ByteSource {
 public:
  explicit PeekedSource(ByteSource& rest) : rest_(rest) {}

  // Up to `count` first bytes; fewer only when there are no more.
  Result<std::string_view> peek(size_t count) {
    peeked_.resize(count);
    size_t have = 0;
    while (have < count) {
      auto got = rest_.read(std::as_writable_bytes(std::span(peeked_)).subspan(have));
      if (!got) return std::move(got).error();
      if (*got == 0) break;
      have += *got;
    }
    peeked_.resize(have);
    return std::string_view(peeked_);
  }

  Result<size_t> read(std::span<std::byte> into) override {
    if (given_ == peeked_.size()) return rest_.read(into);
    size_t count = std::min(into.size(), peeked_.size() - given_);
    std::memcpy(into.data(), peeked_.data() + given_, count);
    given_ += count;
    return count;
  }

  [[nodiscard]] std::optional<uint64_t> size() const override { return rest_.size(); }

 private:
  ByteSource& rest_;
  std::string peeked_;
  size_t given_ = 0;
};

// Copies all of `source`; gives the number of bytes. `check(bytes so far)` may end it.
template <typename Check>
Result<uint64_t> copy_all(ByteSource& source, ByteSink& into, Check check) {
  std::vector<std::byte> piece(kPieceBytes);
  uint64_t total = 0;
  while (true) {
    auto got = source.read(piece);
    if (!got) return std::move(got).error();
    if (*got == 0) return total;
    total += *got;
    if (Status checked = check(total); !checked) return std::move(checked).error();
    if (auto written = into.write(std::span(piece).first(*got)); !written) return std::move(written).error();
  }
}

Status unpack_plain_file(ByteSource& artifact, const Guard& guard, TreeSink& into) {
  if (auto done = into.root(true, kPlainFileMode, 0); !done) return done;
  auto file = into.begin_file("", kPlainFileMode, 0, artifact.size());
  if (!file) return std::move(file).error();
  auto copied = copy_all(artifact, **file, [&](uint64_t total) { return guard.admit_bytes(total, total); });
  if (!copied) return std::move(copied).error();
  if (artifact.size().value_or(*copied) != *copied) return Error{Code::corrupt, "flat artifact: cut before its end"};
  return into.end_file();
}

Status unpack_wrapped_file(const FlatMark& mark, GzipReader& gzip, TreeSink& into) {
  if (auto done = into.root(true, mark.mode, mark.mtime_ns); !done) return done;
  auto file = into.begin_file("", mark.mode, mark.mtime_ns, mark.size);
  if (!file) return std::move(file).error();
  Error wrong_size{Code::corrupt, "flat artifact: the file does not have the size of its header"};
  auto copied = copy_all(gzip, **file, [&](uint64_t total) { return total > mark.size ? Status(wrong_size) : Ok{}; });
  if (!copied) return std::move(copied).error();
  if (*copied != mark.size) return wrong_size;
  return into.end_file();
}

Status unpack_directory(const FlatMark& mark, GzipReader& gzip, Guard& guard, TreeSink& into) {
  if (auto done = into.root(false, mark.mode, mark.mtime_ns); !done) return done;
  TarReader tar(gzip, guard.readers());
  while (true) {
    auto member = tar.next();
    if (!member) return std::move(member).error();
    if (!*member) return Ok{};
    if (auto taken = unpack_member(tar, **member, guard, into); !taken) return taken;
  }
}

uint16_t flat_mode(const ManifestRecord& record) { return Guard::safe_mode(record.mode); }

Result<bool> begins_like_an_artifact(const ManifestRecord& file, ContentSource& contents) {
  if (file.size == 0) return false;
  auto source = contents.open(file.content);
  if (!source) return std::move(source).error();
  PeekedSource peeked(**source);
  auto prefix = peeked.peek(FlatMark::kHeaderBytes);
  if (!prefix) return std::move(prefix).error();
  return FlatMark::is_on(*prefix);
}

Status pack_plain_file(const ManifestRecord& file, ContentSource& contents, const GuardLimits& limits, ByteSink& into) {
  if (file.size > limits.artifact_bytes) {
    return Error{Code::invalid_argument,
                 "file larger than the artifact limit of " + std::to_string(limits.artifact_bytes) + " bytes"};
  }
  return copy_content(contents, file.content, file.size, [&](auto bytes) { return into.write(bytes); });
}

Status pack_wrapped_file(const ManifestRecord& file, ContentSource& contents, const GuardLimits& limits,
                         ByteSink& into) {
  FlatMark mark{FlatMark::Kind::file, flat_mode(file), file.mtime_ns, file.size};
  GzipWriter gzip(into, limits, mark.extra());
  auto copied = copy_content(contents, file.content, file.size, [&](auto bytes) { return gzip.write(bytes); });
  if (!copied) return copied;
  return gzip.finish();
}

Status pack_directory(const ManifestView& tree, ContentSource& contents, const GuardLimits& limits, ByteSink& into) {
  auto root = tree.at(0);
  FlatMark mark{FlatMark::Kind::directory, flat_mode(root), root.mtime_ns, 0};
  Guard guard(limits, ArchiveReaders::hitfs_only);
  GzipWriter gzip(into, limits, mark.extra());
  TarWriter tar(TarWriter::Format::pax, gzip);
  if (auto packed = pack_members(tree, contents, guard, tar, flat_mode); !packed) return packed;
  if (auto ended = tar.finish(); !ended) return ended;
  return gzip.finish();
}

}  // namespace

Codec::Recognised FlatCodec::recognise(std::span<const std::byte> prefix) const {
  auto text = io::as_text(prefix);
  return FlatMark::is_on(text) && FlatMark::is_newer(text) ? Recognised::unknown : Recognised::yes;
}

Result<ArtifactFacts> FlatCodec::unpack(ByteSource& artifact, TreeSink& into) const {
  Guard guard(limits_, ArchiveReaders::hitfs_only);
  PeekedSource peeked(artifact);
  auto prefix = peeked.peek(FlatMark::kHeaderBytes);
  if (!prefix) return std::move(prefix).error();
  Status done = Ok{};
  if (!FlatMark::is_on(*prefix)) {
    done = unpack_plain_file(peeked, guard, into);
  } else {
    auto mark = FlatMark::parse(*prefix);
    if (!mark) return std::move(mark).error();
    GzipReader gzip(peeked, guard);
    done = mark->kind == FlatMark::Kind::file ? unpack_wrapped_file(*mark, gzip, into)
                                              : unpack_directory(*mark, gzip, guard, into);
  }
  if (!done) return in_context("flat artifact", std::move(done).error());
  return ArtifactFacts{};
}

Status FlatCodec::pack(const ManifestView& tree, ContentSource& contents, ByteSink& into) const {
  if (tree.size() == 0) return Error{Code::invalid_argument, "an entry without a tree cannot be packed"};
  auto root = tree.at(0);
  if (root.type == FileType::directory) return pack_directory(tree, contents, limits_, into);
  if (root.type != FileType::file) return Error{Code::invalid_argument, "an entry is a file or a directory"};
  auto marked = begins_like_an_artifact(root, contents);
  if (!marked) return std::move(marked).error();
  bool executable = (root.mode & 0111) != 0;
  if (executable || *marked) return pack_wrapped_file(root, contents, limits_, into);
  return pack_plain_file(root, contents, limits_, into);
}

}  // namespace hitfs
