#include "sync/outgoing.h"

#include "store/codecs/codec.h"

namespace hitfs {

namespace {

class BlobSource final : public ByteSource {
 public:
  BlobSource(StoreReader& reader, const Digest& digest) : reader_(reader), digest_(digest) {}

  Result<size_t> read(std::span<std::byte> into) override {
    auto got = reader_.read(digest_, into, offset_);
    if (got) offset_ += *got;
    return got;
  }
  std::optional<uint64_t> size() const override { return digest_.size; }

 private:
  StoreReader& reader_;
  const Digest digest_;
  uint64_t offset_ = 0;
};

class BlobContents final : public ContentSource {
 public:
  explicit BlobContents(StoreReader& reader) : reader_(reader) {}
  Result<std::unique_ptr<ByteSource>> open(const ManifestRecord& file) override {
    return read_blob(reader_, std::get<Digest>(file.content));
  }

 private:
  StoreReader& reader_;
};

}  // namespace

std::unique_ptr<ByteSource> read_blob(StoreReader& reader, const Digest& digest) {
  return std::make_unique<BlobSource>(reader, digest);
}

Result<std::unique_ptr<Scratch::File>> pack_artifact(StoreReader& reader, Scratch& scratch, const Entry& entry) {
  auto manifest = reader.manifest(entry.id);
  if (!manifest) return std::move(manifest).error();
  auto file = scratch.create();
  if (!file) return file;
  BlobContents contents(reader);
  auto packed = codec_for(entry.key.space).pack((*manifest)->view(), contents, **file);
  if (!packed) return in_context("pack " + entry.key.text(), std::move(packed).error());
  return file;
}

OutgoingEntry::OutgoingEntry(StoreReader& reader, Scratch& scratch, Entry entry)
    : reader_(reader), scratch_(scratch), entry_(std::move(entry)) {}

Result<std::unique_ptr<ByteSource>> OutgoingEntry::artifact() {
  if (entry_.artifact) return read_blob(reader_, *entry_.artifact);
  if (!packed_) {
    auto packed = pack_artifact(reader_, scratch_, entry_);
    if (!packed) return std::move(packed).error();
    packed_ = *std::move(packed);
  }
  return packed_->read();
}

Result<ManifestView> OutgoingEntry::tree() {
  if (entry_.kind != EntryKind::file && entry_.kind != EntryKind::directory) {
    return Error{Code::invalid_argument, entry_.key.text() + " is an artifact without a tree"};
  }
  if (!manifest_) {
    auto manifest = reader_.manifest(entry_.id);
    if (!manifest) return std::move(manifest).error();
    manifest_ = *std::move(manifest);
  }
  return manifest_->view();
}

Result<std::unique_ptr<ByteSource>> OutgoingEntry::blob(const Digest& digest) { return read_blob(reader_, digest); }

}  // namespace hitfs
