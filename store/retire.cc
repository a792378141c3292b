#include "store/retire.h"

#include "store/base/log.h"
#include "store/blob_table.h"
#include "store/manifest.h"
#include "store/push_table.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};

}  // namespace

Result<std::vector<Digest>> referred_blobs(const StoreParts& parts, const EntryRow& row) {
  auto manifest = MappedManifest::open(parts.paths.manifest(row.entry.id).string());
  if (!manifest) return Error{Code::corrupt, manifest.error().message};
  auto blobs = blobs_of((*manifest)->view());
  if (row.derived_in && row.entry.artifact) blobs.push_back(*row.entry.artifact);
  return blobs;
}

Result<EntryRow> retire_row(StoreParts& parts, Index& index, EntryRow row) {
  auto pushes = PushTable(index).remove(row.entry.id);
  if (!pushes) return std::move(pushes).error();
  row.frees_bytes = row.manifest_bytes;
  row.frees_files = 1;
  // A manifest that cannot be read frees nothing but itself.
  if (auto blobs = referred_blobs(parts, row)) {
    auto room = BlobTable(index).exclusive(*blobs);
    if (!room) return std::move(room).error();
    row.frees_bytes += room->bytes;
    row.frees_files += room->files;
  }
  if (auto marked = index.mark_retired(row); !marked) return std::move(marked).error();
  row.entry.retired = true;
  return row;
}

Status release_row(StoreParts& parts, Index& index, const EntryRow& row) {
  BlobTable table(index);
  auto blobs = referred_blobs(parts, row);
  if (!blobs) {
    // Its blobs keep a reference too many: room that is lost until references are counted again, never wrong bytes.
    kLog.error("release entry={} key={} error=\"{}\"", row.entry.id, row.entry.key.text(), blobs.error().message);
  } else {
    for (const auto& digest : *blobs) {
      if (auto done = table.unrefer(digest); !done) return done;
    }
  }
  return index.remove_retired(row);
}

Status drop_derived(Index& index, const EntryRow& row) {
  if (!row.derived_in || !row.entry.artifact) return Ok{};
  if (auto done = BlobTable(index).unrefer(*row.entry.artifact); !done) return done;
  return index.clear_derived(row.entry.id);
}

void RetiredRows::settle(bool committed) {
  if (!committed) {
    entries_.clear();
    return;
  }
  for (const auto& entry : entries_) notices_.retired(entry, why_);
}

}  // namespace hitfs
