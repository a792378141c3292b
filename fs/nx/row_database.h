#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/result.h"
#include "store/index/sqlite.h"

namespace hitfs::fs {

// One of nx's databases (table cache_outputs), whatever its version made of it: `shared*.db` of a cache folder, or its
// own one of a workspace. Opened for a short task and closed; a call waits for other processes for at most kBusy. One
// thread at a time. The shapes were measured with nx 20.8.2 to 24.0.6.
class NxDatabase {
 public:
  static constexpr Milliseconds kBusy{3000};
  // Many rows are written in several transactions, none much longer than this, with pauses in between: nx writes at
  // each lookup, and would wait for the end. Measured: tests/bench/rows_bench.cc.
  static constexpr Milliseconds kLongestTransaction{5};
  static constexpr Milliseconds kPause{5};

  // `not_found` when there is no such file, or no table in it yet: nx is just making it.
  static Result<NxDatabase> open(const std::filesystem::path& path, sqlite::Access access);

  // Makes rows of successful tasks; a row that nx had demoted counts again. Their size is 0: nx uses
  // it for a limit of its own only, and what is kept is for the store to decide.
  Status put(const std::vector<std::string>& hashes);
  // Rows of entries that are not here yet; a row that counts stays as it is. Only where is_announcing().
  Status announce(const std::vector<std::string>& hashes);
  // True from nx 23.3: a row whose folder is missing is a miss there, and counts no more.
  [[nodiscard]] bool is_announcing() const { return has_mark_; }
  // Removes them; a missing one is fine.
  Status remove(const std::vector<std::string>& hashes);
  // Hashes of the rows that nx takes for entries, also of failed tasks.
  Result<std::set<std::string>> hashes();
  struct Code {
    int64_t code = 0;
    std::string created_at;  // UTC, to the second
  };
  Result<std::optional<Code>> code_of(const std::string& hash);

 private:
  NxDatabase(std::unique_ptr<sqlite::Database> database, bool has_mark)
      : database_(std::move(database)), has_mark_(has_mark) {}

  Status for_each(std::string_view sql, const std::vector<std::string>& hashes);

  std::unique_ptr<sqlite::Database> database_;
  bool has_mark_;  // column is_cache_entry, from 23.3
};

// The file name of the shared database of an nx version: shared.db to 22.6, shared-v2.db in 22.7, -v3 in 23.0 to 23.2,
// -v4 in 23.3, -v6 from 24.0. Nothing for a version that cannot be read.
[[nodiscard]] std::optional<std::string> shared_database_of(std::string_view nx_version);

// Whether nx of this version would throw the database away when it opens it: to 22.6 it names its exact version.
Result<bool> is_of_another_version(const std::filesystem::path& database, const std::string& nx_version);

// Makes that database before nx does, in the shape that this version takes; one that is there already stays.
Status make_shared_database(const std::filesystem::path& folder, const std::string& nx_version);

}  // namespace hitfs::fs
