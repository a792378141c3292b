#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/base/result.h"
#include "store/index/index_rows.h"
#include "store/index/sqlite.h"

namespace hitfs {

// A file whose row is gone: to be unlinked once the transaction that says so is on disk. The row in `trash` names it
// until then, so that a crash in between leaves nothing behind.
struct TrashItem {
  enum class Kind : int64_t { blob = 0, pack = 1, manifest = 2 };
  Kind kind;
  uint64_t number = 0;  // of a pack or an entry
  Digest digest;        // of a blob
  int64_t row = 0;      // in the table
};

// The writer's side of index.db: rows of entries, counters, epochs. Everything but open() is called by the CommitLane's
// current leader only, inside of its transaction.
class Index {
 public:
  // Makes the schema in a new file. `corrupt` for a damaged file, `invalid_argument` for a newer format. After a reboot
  // (another boot id) the epochs above the last flush become suspect.
  static Result<std::unique_ptr<Index>> open(const std::filesystem::path& path, const std::string& boot_id);

  [[nodiscard]] sqlite::Database& database() { return *database_; }
  [[nodiscard]] Counters& counters() { return counters_; }
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] const Epochs& epochs() const { return epochs_; }
  // Counts the daemons that opened this store.
  [[nodiscard]] uint64_t generation() const { return generation_; }
  [[nodiscard]] bool trusted(uint64_t epoch) const { return epochs_.trusted(epoch, epochs_.boot); }

  // Transactions of this process so far, and how many of them are on disk: a durable one takes all before it along.
  [[nodiscard]] uint64_t transactions() const { return transactions_; }
  [[nodiscard]] uint64_t durable_transactions() const { return durable_transactions_; }
  void note_committed();

  // Commits of this process are as durable as that: FULL waits for the disk, NORMAL may lose the last ones in a power
  // cut, but never consistency.
  Status set_durable(bool durable);

  Result<std::optional<EntryRow>> find_visible(const Key& key);
  Result<std::optional<EntryRow>> get(uint64_t id);
  Status insert(const EntryRow& row);
  // Visible to retired; `row.frees_*` is what its release will free.
  Status mark_retired(const EntryRow& row);
  Status remove_retired(const EntryRow& row);
  // Attaches a derived artifact, or removes it.
  Status set_derived(uint64_t id, const Digest& artifact, uint64_t epoch);
  Status clear_derived(uint64_t id);
  Status set_epoch(uint64_t id, uint64_t epoch);
  // One past the highest number in use; Numbers starts there when its own file is lost.
  Result<uint64_t> end_of_numbers();

  // A copy of a manifest whose file is not on disk yet: kept until a flush, so that a power cut never leaves a row
  // whose blobs nobody knows.
  Status keep_manifest(uint64_t id, uint64_t epoch, std::string_view bytes);
  // "" when none is kept.
  Result<std::string> kept_manifest(uint64_t id);

  Status add_trash(TrashItem item);
  Result<std::vector<TrashItem>> all_trash();
  Status remove_trash(const std::vector<int64_t>& rows);

  // Everything committed before is on disk: a new epoch begins.
  Status note_flushed();
  // What is inserted in the epoch that this gives is suspect from the start.
  Result<uint64_t> begin_suspect_epoch();
  // Nothing is suspect any more.
  Status clear_suspects();

  // What a transaction changes besides rows; saved and restored around each part of it.
  struct Working {
    Counters counters;
    Epochs epochs;
    std::vector<TrashItem> trash;  // of this transaction
  };
  [[nodiscard]] Working working() const { return {counters_, epochs_, trash_}; }
  void restore(Working working);
  // Writes the counters; the last thing before the commit.
  Status save_counters();
  [[nodiscard]] std::vector<TrashItem> take_trash() { return std::exchange(trash_, {}); }

 private:
  explicit Index(std::unique_ptr<sqlite::Database> database) : database_(std::move(database)) {}
  Status prepare_file();
  Status check_schema();
  Status load(const std::string& boot_id);
  Status save_epochs();

  std::unique_ptr<sqlite::Database> database_;
  Counters counters_;
  Epochs epochs_;
  uint64_t generation_ = 0;
  bool durable_ = true;
  uint64_t transactions_ = 0;
  uint64_t durable_transactions_ = 0;
  std::vector<TrashItem> trash_;
};

}  // namespace hitfs
