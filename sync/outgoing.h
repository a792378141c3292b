#pragma once

#include <memory>

#include "store/entry_store.h"
#include "sync/remotes/remote.h"
#include "sync/scratch.h"

namespace hitfs {

// Packs the wire form of a tree entry into a scratch file.
Result<std::unique_ptr<Scratch::File>> pack_artifact(StoreReader& reader, Scratch& scratch, const Entry& entry);

// The EntryReader of a push. The wire form is the entry's own artifact, or is packed from its tree at the first
// question and kept for retries. One owner, one thread.
class OutgoingEntry final : public EntryReader {
 public:
  OutgoingEntry(StoreReader& reader, Scratch& scratch, Entry entry);

  Result<std::unique_ptr<ByteSource>> artifact() override;
  Result<ManifestView> tree() override;
  Result<std::unique_ptr<ByteSource>> blob(const Digest& digest) override;

 private:
  StoreReader& reader_;
  Scratch& scratch_;
  const Entry entry_;
  std::unique_ptr<Scratch::File> packed_;
  std::shared_ptr<const MappedManifest> manifest_;
};

}  // namespace hitfs
