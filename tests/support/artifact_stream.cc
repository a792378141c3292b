#include "tests/support/artifact_stream.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstring>

#include "tests/support/raw_tar.h"

namespace hitfs::testing {
namespace {

// Whole tar blocks, and fewer bytes than a stored deflate block may hold (65,535).
constexpr uint64_t kBlock = 127 * 512;
constexpr size_t kGzipHeader = 10, kStoredHeader = 5, kGzipTrailer = 8;

std::string octal(uint64_t value) {
  std::string text(11, '0');
  for (size_t i = text.size(); i > 0; --i, value /= 8) text[i - 1] = static_cast<char>('0' + value % 8);
  return text;
}

void put_little_endian(std::string& text, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
}

}  // namespace

ArtifactStream::ArtifactStream(uint64_t bytes, uint64_t seed)
    : blocks_((bytes + kBlock - 1) / kBlock),
      first_(RawTar().add({.name = "bundle.bin", .size = octal(blocks_ * kBlock)}).bytes),
      last_(RawTar().file("terminalOutput", "built\r\n").done_for_nx()),
      random_(seed) {}

uint64_t ArtifactStream::size() const {
  return kGzipHeader + (blocks_ + 2) * kStoredHeader + first_.size() + blocks_ * kBlock + last_.size() + kGzipTrailer;
}

void ArtifactStream::begin_block(size_t bytes, bool last) {
  piece_ += last ? '\1' : '\0';
  put_little_endian(piece_, bytes, 2);
  put_little_endian(piece_, ~bytes, 2);
}

// splitmix64: quick, and nothing that gzip or a store could make smaller.
void ArtifactStream::fill(char* at, size_t bytes) {
  for (size_t done = 0; done < bytes; done += 8) {
    uint64_t z = random_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    std::memcpy(at + done, &z, 8);
  }
}

void ArtifactStream::append(std::string_view tar_bytes, bool last) {
  begin_block(tar_bytes.size(), last);
  piece_ += tar_bytes;
}

std::string_view ArtifactStream::next() {
  piece_.clear();
  const uint64_t index = made_++;
  if (index > blocks_ + 1) return piece_;
  if (index == 0) piece_ += std::string_view("\x1f\x8b\x08\0\0\0\0\0\0\xff", kGzipHeader);
  const size_t header = piece_.size() + kStoredHeader;
  if (index == 0) {
    append(first_, false);
  } else if (index <= blocks_) {
    begin_block(kBlock, false);
    piece_.resize(header + kBlock);
    fill(piece_.data() + header, kBlock);
  } else {
    append(last_, true);
  }
  const size_t content = piece_.size() - header;
  crc_ = crc32_gzip_refl(crc_, reinterpret_cast<const unsigned char*>(piece_.data() + header), content);
  tar_bytes_ += content;
  if (index == blocks_ + 1) {
    put_little_endian(piece_, crc_, 4);
    put_little_endian(piece_, tar_bytes_, 4);
  }
  return piece_;
}

bool ArtifactStream::goes_on_with(std::string_view bytes) {
  while (right_ && !bytes.empty()) {
    if (expected_.empty()) expected_ = next();
    const size_t both = std::min(expected_.size(), bytes.size());
    right_ = both > 0 && expected_.substr(0, both) == bytes.substr(0, both);
    expected_.remove_prefix(both);
    bytes.remove_prefix(both);
    compared_ += both;
  }
  return right_;
}

}  // namespace hitfs::testing
