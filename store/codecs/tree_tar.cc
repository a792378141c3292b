#include "store/codecs/tree_tar.h"

#include <algorithm>
#include <vector>

namespace hitfs {

namespace {

constexpr size_t kPieceBytes = 256 << 10;

}  // namespace

Status unpack_member(TarReader& tar, const TarMember& member, Guard& guard, TreeSink& into) {
  auto path = guard.admit({member.type, member.path, member.target, member.mode});
  if (!path) return std::move(path).error();
  switch (member.type) {
    case FileType::directory: return into.directory(*path, Guard::safe_mode(member.mode), member.mtime_ns);
    case FileType::symlink: return into.symlink(*path, member.target, member.mtime_ns);
    case FileType::file: break;
  }
  auto file = into.begin_file(*path, Guard::safe_mode(member.mode), member.mtime_ns, member.size);
  if (!file) return std::move(file).error();
  if (auto read = tar.read(**file); !read) return in_context(printable_path(*path), std::move(read).error());
  return into.end_file();
}

Status copy_content(ContentSource& contents, const Content& content, uint64_t size,
                    const std::function<Status(std::span<const std::byte>)>& write) {
  if (size == 0) return Ok{};
  auto source = contents.open(content);
  if (!source) return std::move(source).error();
  const auto* digest = std::get_if<Digest>(&content);
  Hasher hasher;
  std::vector<std::byte> piece(std::min<uint64_t>(size, kPieceBytes));
  uint64_t total = 0;
  while (true) {
    auto got = (*source)->read(piece);
    if (!got) return std::move(got).error();
    if (*got == 0) break;
    auto bytes = std::span(piece).first(*got);
    total += *got;
    if (total > size) return Error{Code::corrupt, "content is longer than its manifest says"};
    if (digest) hasher.update(bytes);
    if (auto written = write(bytes); !written) return written;
  }
  if (total != size) return Error{Code::corrupt, "content is shorter than its manifest says"};
  if (digest && hasher.finish() != *digest) return Error{Code::corrupt, "content is damaged: blob " + digest->text()};
  return Ok{};
}

Status pack_members(const ManifestView& tree, ContentSource& contents, Guard& guard, TarWriter& tar,
                    uint16_t (*mode_of)(const ManifestRecord&)) {
  for (uint32_t position = 1; position < tree.size(); ++position) {
    auto record = tree.at(position);
    auto path = tree.path(position);
    uint16_t mode = mode_of(record);
    if (auto admitted = guard.admit({record.type, path, record.target, mode}); !admitted) {
      return Error{Code::invalid_argument, "cannot travel: " + admitted.error().message};
    }
    Status written = Ok{};
    switch (record.type) {
      case FileType::directory: written = tar.directory(path, mode, record.mtime_ns); break;
      case FileType::symlink: written = tar.symlink(path, record.target, record.mtime_ns); break;
      case FileType::file:
        written = tar.begin_file(path, mode, record.mtime_ns, record.size);
        if (written) {
          written = copy_content(contents, record.content, record.size, [&](auto bytes) { return tar.write(bytes); });
        }
        break;
    }
    if (!written) return in_context("pack " + printable_path(path), std::move(written).error());
  }
  return Ok{};
}

}  // namespace hitfs
