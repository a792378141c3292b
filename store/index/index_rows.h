#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "store/digest.h"
#include "store/entry.h"
#include "store/index/sqlite.h"

// The tables of index.db as values; store/README.md, section Index, explains each column. Shared by the writer (Index)
// and the readers (IndexReader).
namespace hitfs {

constexpr int64_t kIndexVersion = 1;  // PRAGMA user_version
// PRAGMA application_id is this plus the version, so that a damaged version is not taken for a newer one; 0 in an index
// of before that.
constexpr int64_t kIndexMark = 0x68660000;
extern const char* const kIndexSchema;

enum class EntryState : int64_t { visible = 0, retired = 1 };

// An epoch says whether bytes are certainly on disk: 0 is durable from the start, others are when a later flush said
// so. kDamaged is a blob whose bytes were found wrong.
constexpr uint64_t kDurable = 0;
constexpr uint64_t kDamaged = std::numeric_limits<int64_t>::max();

struct EntryRow {
  Entry entry;
  // entry.artifact was packed from the tree, in this epoch, and may be dropped.
  std::optional<uint64_t> derived_in;
  uint64_t epoch = kDurable;
  uint64_t manifest_bytes = 0;
  uint64_t frees_bytes = 0;  // of a retired entry: what its release is expected to free
  uint64_t frees_files = 0;
};

// The visible row of a new entry with this manifest.
class ManifestView;
[[nodiscard]] EntryRow row_for(const ManifestView& manifest, std::string origin);

// The columns that entry_row() reads, in its order.
extern const std::string_view kEntryColumns;
[[nodiscard]] EntryRow entry_row(const sqlite::Query& query);

// Where a blob lies: in a pack at an offset, or (pack 0) in a file of its own.
struct Place {
  uint64_t pack = 0;
  uint64_t offset = 0;
  bool operator==(const Place&) const = default;
};

struct BlobRow {
  Digest digest;
  uint64_t refs = 0;  // entries (retired ones included) that name it, each counted once
  Place place;
  uint64_t epoch = kDurable;
};
extern const std::string_view kBlobColumns;
[[nodiscard]] BlobRow blob_row(const sqlite::Query& query);

// Which bytes may be believed. Everything of an epoch <= flushed is on disk. After a reboot the epochs in
// (suspect_after, suspect_upto] are not known: their entries stay invisible until somebody has read their bytes.
struct Epochs {
  uint64_t current = 1;
  uint64_t flushed = 0;
  uint64_t suspect_after = 0;
  uint64_t suspect_upto = 0;
  std::string boot;  // boot id of the machine when the daemon opened the store last

  // `boot_now`: a reader that starts before the daemon does after a reboot trusts only what was flushed.
  [[nodiscard]] bool trusted(uint64_t epoch, std::string_view boot_now) const;
  [[nodiscard]] bool is_flushed(uint64_t epoch) const;
};
extern const std::string_view kEpochColumns;
[[nodiscard]] Epochs epochs_row(const sqlite::Query& query);

// Kept in the same transaction as what they count, so that nothing is ever scanned to know them.
struct Counters {
  uint64_t entries = 0;  // visible
  uint64_t retired_entries = 0;
  uint64_t blobs = 0;
  uint64_t bytes = 0;          // of packs, blobs and manifests on disk
  uint64_t files = 0;          // packs, blobs with a file of their own, manifests
  uint64_t retired_bytes = 0;  // part of `bytes` that releases will free
  uint64_t retired_files = 0;
  uint64_t evicted = 0;  // entries, since the store was made
  uint64_t pushes = 0;   // waiting or running
  uint64_t push_bytes = 0;
  uint64_t parked = 0;
  uint64_t dropped_pushes = 0;  // given up by eviction, since the store was made
  bool operator==(const Counters&) const = default;
};

// The copy that the table `manifests` keeps of a manifest that is not flushed; "" when there is none.
Result<std::string> read_kept_manifest(sqlite::Database& database, uint64_t id);

// The boot id of the running kernel (/proc/sys/kernel/random/boot_id); "" when it cannot be read.
[[nodiscard]] std::string current_boot_id();

}  // namespace hitfs
