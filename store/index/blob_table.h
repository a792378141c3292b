#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "store/base/result.h"
#include "store/blobs/blob_holds.h"
#include "store/index/index.h"
#include "store/manifest.h"

namespace hitfs {

// Rows of blobs and packs, with the counters that they change. Called by the CommitLane's leader only.
class BlobTable {
 public:
  explicit BlobTable(Index& index) : index_(index) {}

  Result<std::optional<BlobRow>> find(const Digest& digest);

  // Whether `row` can serve an entry of `epoch`; an entry that brings a copy of its own is served by sound bytes that
  // are not flushed yet only if it is not durable itself.
  [[nodiscard]] bool serves(const std::optional<BlobRow>& row, const Digest& digest, bool has_copy,
                            uint64_t epoch) const;

  // One entry more names `digest`. `copy` is where the entry's own bytes of it lie, if it brought any: they are used
  // when there is no row yet, when the bytes of the row are damaged or suspect, and when they are not on disk yet while
  // the entry is durable. Without a copy such a row is `not_found`.
  Status refer(const Digest& digest, const std::optional<Place>& copy, uint64_t epoch);
  Status unrefer(const Digest& digest);

  // Bytes that were found on the disk, which no entry names so far; nothing when the blob has a row already.
  Status add_found(const Digest& digest, const Place& place, uint64_t epoch);
  // One entry more names a blob that has a row; false when it has none.
  Result<bool> refer_found(const Digest& digest);

  Status add_pack(uint64_t pack, uint64_t bytes);
  // Throws the pack away when nothing in it is in use.
  Status drop_pack_if_unused(uint64_t pack);

  // Frees rows that no entry names and no intake holds, at most `limit`; gives their number.
  Result<size_t> sweep(BlobHolds& holds, size_t limit);

  Status set_epoch(const Digest& digest, uint64_t epoch);

  // What the release of an entry with these blobs would free, as far as no other entry names them.
  struct Room {
    uint64_t bytes = 0;
    uint64_t files = 0;
  };
  Result<Room> exclusive(const std::vector<Digest>& blobs);

 private:
  Status leave_place(const BlobRow& row);
  Status enter_place(const Digest& digest, const Place& place);

  Index& index_;
};

// The blobs that an entry with this manifest names: each once, sorted, without the empty one, which needs no storage.
[[nodiscard]] std::vector<Digest> blobs_of(const ManifestView& manifest);

// The digest of no bytes.
[[nodiscard]] const Digest& empty_digest();

}  // namespace hitfs
