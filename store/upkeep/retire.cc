#include "store/upkeep/retire.h"

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/index/blob_table.h"
#include "store/index/push_table.h"
#include "store/manifest.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};

}  // namespace

namespace {

Result<std::vector<Digest>> manifest_blobs(const StoreParts& parts, Index& index, uint64_t id) {
  auto manifest = MappedManifest::open(parts.paths.manifest(id).string());
  if (manifest) return blobs_of((*manifest)->view());
  auto kept = index.kept_manifest(id);
  if (!kept) return std::move(kept).error();
  auto view = ManifestView::parse(io::as_bytes(*kept));
  if (!view) return Error{Code::corrupt, manifest.error().message};
  return blobs_of(*view);
}

}  // namespace

Result<std::vector<Digest>> referred_blobs(const StoreParts& parts, Index& index, const EntryRow& row) {
  auto blobs = manifest_blobs(parts, index, row.entry.id);
  if (blobs && row.derived_in && row.entry.artifact) blobs->push_back(*row.entry.artifact);
  return blobs;
}

Result<EntryRow> retire_row(StoreParts& parts, Index& index, EntryRow row) {
  auto pushes = PushTable(index).remove(row.entry.id);
  if (!pushes) return std::move(pushes).error();
  row.frees_bytes = row.manifest_bytes;
  row.frees_files = 1;
  // A manifest that cannot be read frees nothing but itself.
  if (auto blobs = referred_blobs(parts, index, row)) {
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
  auto blobs = referred_blobs(parts, index, row);
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
