#include "store/blobs/pack.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "store/base/io.h"

namespace hitfs {

namespace {

// Written in pieces of this size: one system call for dozens of small files.
constexpr size_t kPiece = 1 << 20;
constexpr std::string_view kMagic = "hitfspk1";
constexpr size_t kLineSize = 48;     // hash, offset, size
constexpr size_t kTrailerSize = 48;  // SHA-256 of the table, lines, magic

template <typename T>
void append_raw(std::string& into, const T& value) {
  into.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <typename T>
T load(std::string_view bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

}  // namespace

Result<uint64_t> PackWriter::append(const Digest& digest, std::span<const std::byte> bytes) {
  if (!file_) {
    auto made = io::create(path_, "pack", {.mode = 0400});
    if (!made) return std::move(made).error();
    file_ = *std::move(made);
  }
  uint64_t offset = size();
  table_.push_back({digest, offset});
  buffer_ += io::as_text(bytes);
  if (buffer_.size() >= kPiece) {
    if (auto flushed = flush_buffer(); !flushed) return std::move(flushed).error();
  }
  return offset;
}

Status PackWriter::flush_buffer() {
  if (buffer_.empty()) return Ok{};
  if (auto written = io::write_all(file_.get(), io::as_bytes(buffer_), "pack"); !written) return written;
  written_ += buffer_.size();
  buffer_.clear();
  return Ok{};
}

Status PackWriter::finish() {
  std::string table;
  table.reserve(table_.size() * kLineSize);
  for (const auto& line : table_) {
    append_raw(table, line.digest.hash);
    append_raw(table, line.offset);
    append_raw(table, line.digest.size);
  }
  auto check = Digest::of(io::as_bytes(table));
  buffer_ += table;
  append_raw(buffer_, check.hash);
  append_raw(buffer_, static_cast<uint64_t>(table_.size()));
  buffer_ += kMagic;
  return flush_buffer();
}

Result<std::vector<PackedBlob>> read_pack_table(const std::filesystem::path& path) {
  Error damaged{Code::corrupt, path.string() + " is no whole pack"};
  auto file = io::open_read(path);
  if (!file) return std::move(file).error();
  struct stat info {};
  if (::fstat(file->get(), &info) < 0) return system_error("stat " + path.string(), errno);
  auto size = static_cast<uint64_t>(info.st_size);
  if (size < kTrailerSize) return damaged;
  std::string trailer(kTrailerSize, '\0');
  auto got = io::read_at(file->get(), std::as_writable_bytes(std::span(trailer)), size - kTrailerSize);
  if (!got) return std::move(got).error();
  auto lines = load<uint64_t>(trailer, 32);
  if (!trailer.ends_with(kMagic) || lines > (size - kTrailerSize) / kLineSize) return damaged;
  std::string table(lines * kLineSize, '\0');
  uint64_t table_at = size - kTrailerSize - table.size();
  got = io::read_at(file->get(), std::as_writable_bytes(std::span(table)), table_at);
  if (!got) return std::move(got).error();
  using Hash = std::array<std::byte, 32>;
  if (Digest::of(io::as_bytes(table)).hash != load<Hash>(trailer, 0)) return damaged;
  std::vector<PackedBlob> blobs;
  for (size_t at = 0; at < table.size(); at += kLineSize) {
    PackedBlob blob{{load<Hash>(table, at), load<uint64_t>(table, at + 40)}, load<uint64_t>(table, at + 32)};
    if (blob.offset > table_at || table_at - blob.offset < blob.digest.size) return damaged;
    blobs.push_back(blob);
  }
  return blobs;
}

}  // namespace hitfs
