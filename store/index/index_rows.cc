#include "store/index/index_rows.h"

#include <algorithm>

#include "store/base/io.h"
#include "store/manifest.h"

namespace hitfs {

const char* const kIndexSchema = R"sql(
CREATE TABLE entries(
  id INTEGER PRIMARY KEY, span INTEGER NOT NULL,
  scope BLOB NOT NULL, space BLOB NOT NULL, name BLOB NOT NULL,
  state INTEGER NOT NULL, kind INTEGER NOT NULL, exit_code INTEGER NOT NULL,
  artifact BLOB, artifact_size INTEGER, derived INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL, files INTEGER NOT NULL,
  created_ns INTEGER NOT NULL, last_used_ns INTEGER NOT NULL,
  origin TEXT NOT NULL, pinned INTEGER NOT NULL DEFAULT 0,
  epoch INTEGER NOT NULL, manifest_bytes INTEGER NOT NULL,
  frees_bytes INTEGER NOT NULL DEFAULT 0, frees_files INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX entries_by_key ON entries(scope, space, name) WHERE state = 0;
CREATE INDEX entries_by_use ON entries(last_used_ns) WHERE state = 0 AND pinned = 0;
CREATE INDEX entries_derived ON entries(last_used_ns) WHERE derived > 0;
CREATE INDEX entries_retired ON entries(id) WHERE state = 1;
CREATE INDEX entries_by_epoch ON entries(epoch) WHERE epoch > 0;
CREATE TABLE blobs(
  digest BLOB PRIMARY KEY, size INTEGER NOT NULL, refs INTEGER NOT NULL,
  pack INTEGER NOT NULL, offset INTEGER NOT NULL, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX blobs_unreferenced ON blobs(digest) WHERE refs = 0;
CREATE TABLE packs(id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, live INTEGER NOT NULL);
CREATE TABLE trash(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, number INTEGER NOT NULL, digest BLOB);
CREATE TABLE manifests(entry_id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE pushes(
  id INTEGER PRIMARY KEY, entry_id INTEGER NOT NULL, remote TEXT NOT NULL, bytes INTEGER NOT NULL,
  parked INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, not_before_ms INTEGER NOT NULL DEFAULT 0,
  owner INTEGER NOT NULL DEFAULT 0, since_ms INTEGER NOT NULL, why TEXT NOT NULL DEFAULT '');
CREATE INDEX pushes_by_entry ON pushes(entry_id);
CREATE INDEX pushes_by_size ON pushes(parked, remote, bytes);
CREATE INDEX pushes_by_time ON pushes(parked, remote, not_before_ms);
CREATE TABLE state(
  id INTEGER PRIMARY KEY CHECK (id = 1), generation INTEGER NOT NULL,
  epoch INTEGER NOT NULL, flushed INTEGER NOT NULL, suspect_after INTEGER NOT NULL, suspect_upto INTEGER NOT NULL,
  boot TEXT NOT NULL);
INSERT INTO state VALUES(1, 0, 1, 0, 0, 0, '');
CREATE TABLE counters(
  id INTEGER PRIMARY KEY CHECK (id = 1), entries, retired_entries, blobs, bytes, files, retired_bytes, retired_files,
  evicted, pushes, push_bytes, parked, dropped_pushes);
INSERT INTO counters VALUES(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
PRAGMA user_version = 1;
PRAGMA application_id = 0x68660001;
)sql";

const std::string_view kEntryColumns =
    "id, span, scope, space, name, state, kind, exit_code, artifact, artifact_size, derived, bytes, files, created_ns, "
    "last_used_ns, origin, pinned, epoch, manifest_bytes, frees_bytes, frees_files";
const std::string_view kBlobColumns = "digest, size, refs, pack, offset, epoch";
const std::string_view kEpochColumns = "epoch, flushed, suspect_after, suspect_upto, boot";

namespace {

Digest digest_of(std::span<const std::byte> hash, uint64_t size) {
  Digest digest;
  std::copy_n(hash.begin(), std::min(hash.size(), digest.hash.size()), digest.hash.begin());
  digest.size = size;
  return digest;
}

}  // namespace

EntryRow row_for(const ManifestView& manifest, std::string origin) {
  EntryRow row;
  auto header = manifest.header();
  auto& entry = row.entry;
  entry.id = header.entry_id;
  entry.span = std::max<uint32_t>(1, manifest.size());
  entry.key = header.key;
  entry.kind = header.kind;
  entry.exit_code = header.exit_code;
  entry.artifact = header.artifact;
  bool tree = manifest.size() > 0;
  entry.bytes = tree ? manifest.total_bytes() : header.artifact->size;
  entry.files = tree ? manifest.total_files() : 1;
  entry.created_ns = header.created_ns;
  entry.last_used_ns = header.created_ns;
  entry.origin = std::move(origin);
  row.manifest_bytes = manifest.bytes().size();
  return row;
}

EntryRow entry_row(const sqlite::Query& query) {
  EntryRow row;
  auto& entry = row.entry;
  entry.id = query.unsigned_integer(0);
  entry.span = static_cast<uint32_t>(query.integer(1));
  entry.key = {query.text(2), query.text(3), query.text(4)};
  entry.retired = query.integer(5) == static_cast<int64_t>(EntryState::retired);
  entry.kind = static_cast<EntryKind>(query.integer(6));
  entry.exit_code = static_cast<int32_t>(query.integer(7));
  if (!query.is_null(8)) entry.artifact = digest_of(query.bytes(8), query.unsigned_integer(9));
  if (query.integer(10) != 0) row.derived_in = query.unsigned_integer(10) - 1;
  entry.bytes = query.unsigned_integer(11);
  entry.files = query.unsigned_integer(12);
  entry.created_ns = query.integer(13);
  entry.last_used_ns = query.integer(14);
  entry.origin = query.text(15);
  entry.pinned = query.integer(16) != 0;
  row.epoch = query.unsigned_integer(17);
  row.manifest_bytes = query.unsigned_integer(18);
  row.frees_bytes = query.unsigned_integer(19);
  row.frees_files = query.unsigned_integer(20);
  return row;
}

BlobRow blob_row(const sqlite::Query& query) {
  BlobRow row;
  row.digest = digest_of(query.bytes(0), query.unsigned_integer(1));
  row.refs = query.unsigned_integer(2);
  row.place = {query.unsigned_integer(3), query.unsigned_integer(4)};
  row.epoch = query.unsigned_integer(5);
  return row;
}

Epochs epochs_row(const sqlite::Query& query) {
  return {query.unsigned_integer(0), query.unsigned_integer(1), query.unsigned_integer(2), query.unsigned_integer(3),
          query.text(4)};
}

Result<std::string> read_kept_manifest(sqlite::Database& database, uint64_t id) {
  auto query = database.query("SELECT bytes FROM manifests WHERE entry_id = ?1", {sqlite::number(id)});
  auto row = query.next();
  if (!row) return std::move(row).error();
  return *row ? query.text(0) : std::string();
}

bool Epochs::trusted(uint64_t epoch, std::string_view boot_now) const {
  if (epoch == kDamaged) return false;
  if (epoch > suspect_after && epoch <= suspect_upto) return false;
  return boot == boot_now || epoch <= flushed;
}

bool Epochs::is_flushed(uint64_t epoch) const { return epoch <= flushed; }

std::string current_boot_id() {
  auto text = io::read_file("/proc/sys/kernel/random/boot_id", 128);
  if (!text) return "";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *std::move(text);
}

}  // namespace hitfs
