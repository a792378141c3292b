#include "store/blobs/blob_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "store/base/io.h"

namespace hitfs {

namespace {

constexpr size_t kCheckedPiece = 1 << 20;

}  // namespace

BlobStore::Name BlobStore::name_of(const Digest& digest, const Place& place) {
  return place.pack != 0 ? Name{place.pack, {}} : Name{0, digest};
}

Result<BlobStore::File> BlobStore::open(const Digest& digest, const Place& place) {
  auto name = name_of(digest, place);
  if (auto known = open_.lock()->get(name)) return *known;
  auto fd = io::open_read(place.pack != 0 ? paths_.pack(place.pack) : paths_.blob(digest.hex()));
  if (!fd) return std::move(fd).error();
  auto file = std::make_shared<const UniqueFd>(*std::move(fd));
  open_.lock()->put(name, file);
  return file;
}

Result<size_t> BlobStore::read(const Digest& digest, const Place& place, std::span<std::byte> into, uint64_t offset) {
  if (offset >= digest.size) return size_t{0};
  auto wanted = static_cast<size_t>(std::min<uint64_t>(into.size(), digest.size - offset));
  auto file = open(digest, place);
  if (!file) return std::move(file).error();
  auto got = io::read_at((*file)->get(), into.first(wanted), place.offset + offset);
  if (!got) return got;
  if (*got < wanted) return Error{Code::corrupt, "blob " + digest.text() + " is cut short"};
  return got;
}

Result<bool> BlobStore::has_right_bytes(const Digest& digest, const Place& place,
                                        const std::function<void()>& progress) {
  Hasher hasher;
  std::string piece(static_cast<size_t>(std::min<uint64_t>(digest.size, kCheckedPiece)), '\0');
  for (uint64_t offset = 0; offset < digest.size;) {
    auto got = read(digest, place, std::as_writable_bytes(std::span(piece)), offset);
    if (!got) return std::move(got).error();
    hasher.update(io::as_bytes(piece).first(*got));
    offset += *got;
    if (progress) progress();
  }
  return hasher.finish() == digest;
}

void BlobStore::forget(const Digest& digest, const Place& place) { open_.lock()->drop(name_of(digest, place)); }

void BlobStore::forget_all() { open_.lock()->clear(); }

void BlobStore::forget_freed() {
  open_.lock()->drop_if([](const File& file) {
    struct stat info {};
    return ::fstat(file->get(), &info) < 0 || info.st_nlink == 0;
  });
}

}  // namespace hitfs
