#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/base/guarded.h"
#include "store/base/result.h"
#include "store/index/index_rows.h"
#include "store/index/sqlite.h"

namespace hitfs {

// Queries on index.db from any process that may read it: read-only connections, taken from a small pool for one call
// each, so that no read transaction outlives a call. When index.db is another file than before (it was replaced after
// damage), the pool starts anew. Safe from several threads.
class IndexReader {
 public:
  // `not_found` when there is no index, `invalid_argument` for one of a newer format.
  static Result<std::unique_ptr<IndexReader>> open(std::filesystem::path index);

  // The row in state visible, whatever its epoch.
  Result<std::optional<EntryRow>> find(const Key& key);
  // The row whose id is the highest that is not above `number`.
  Result<std::optional<EntryRow>> at_or_before(uint64_t number);
  // Visible rows of a namespace after `after`, in byte order of their names.
  Result<std::vector<EntryRow>> list(const std::string& scope, const std::string& space, const std::string& after,
                                     size_t limit);
  // Rows of any state with an id above `after`.
  Result<std::vector<EntryRow>> entries_after(uint64_t after, size_t limit);
  // Rows of any state whose epoch is in (after, upto].
  Result<std::vector<EntryRow>> entries_of_epochs(uint64_t after, uint64_t upto, size_t limit);
  Result<std::vector<EntryRow>> retired();

  Result<std::optional<BlobRow>> blob(const Digest& digest);
  // Rows in the order of their hashes, above `after`.
  Result<std::vector<BlobRow>> blobs_after(const std::optional<Digest>& after, size_t limit);
  Result<Epochs> epochs();
  // "" when none is kept.
  Result<std::string> kept_manifest(uint64_t id);
  // SQLite's own check of the file; a line per finding, none when it is sound. Reads the whole file.
  Result<std::vector<std::string>> check();

  // Tells one index.db from another.
  [[nodiscard]] uint64_t identity();

 private:
  struct Pool {
    uint64_t identity = 0;  // of the file that the connections have open
    std::vector<std::unique_ptr<sqlite::Database>> idle;
  };
  explicit IndexReader(std::filesystem::path index) : index_(std::move(index)) {}

  Result<std::unique_ptr<sqlite::Database>> take(uint64_t identity);
  void give_back(uint64_t identity, std::unique_ptr<sqlite::Database> connection);
  // Calls `body(database)` with a connection; once more with a fresh one when the first one's file had become useless.
  template <typename Body>
  auto with_connection(Body body) -> decltype(body(std::declval<sqlite::Database&>()));

  const std::filesystem::path index_;
  Guarded<Pool> pool_;
};

}  // namespace hitfs
