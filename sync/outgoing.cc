#include "sync/outgoing.h"

#include "store/codecs/codec.h"
#include "store/codecs/stored_contents.h"

namespace hitfs {

Result<std::unique_ptr<Scratch::File>> pack_artifact(StoreReader& reader, Scratch& scratch, const Entry& entry) {
  auto manifest = reader.manifest(entry.id);
  if (!manifest) return std::move(manifest).error();
  auto file = scratch.create();
  if (!file) return file;
  StoredContents contents(reader);
  auto packed = codec_for(entry.key.space).pack((*manifest)->view(), contents, **file);
  if (!packed) return in_context("pack " + entry.key.text(), std::move(packed).error());
  return file;
}

OutgoingEntry::OutgoingEntry(StoreReader& reader, Scratch& scratch, Entry entry)
    : reader_(reader), scratch_(scratch), entry_(std::move(entry)) {}

Result<std::unique_ptr<ByteSource>> OutgoingEntry::artifact() {
  if (entry_.artifact) return StoredContents(reader_).open(*entry_.artifact);
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

Result<std::unique_ptr<ByteSource>> OutgoingEntry::blob(const Digest& digest) {
  return StoredContents(reader_).open(digest);
}

}  // namespace hitfs
