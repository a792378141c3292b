#include "fs/nx/row_database.h"

#include <charconv>
#include <thread>
#include <utility>

#include "store/base/clock.h"
#include "store/base/io.h"

namespace hitfs::fs {

namespace {

constexpr std::string_view kWhat = "nx rows";

struct Version {
  int major = 0;
  int minor = 0;
  [[nodiscard]] bool from(int other_major, int other_minor) const {
    return std::pair(major, minor) >= std::pair(other_major, other_minor);
  }
};

std::optional<Version> parse_version(std::string_view text) {
  Version version;
  const char* end = text.data() + text.size();
  auto major = std::from_chars(text.data(), end, version.major);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return std::nullopt;
  auto minor = std::from_chars(major.ptr + 1, end, version.minor);
  if (minor.ec != std::errc()) return std::nullopt;
  return version;
}

// As the version in question makes it: with the mark only where that version has it.
std::string table_for(const Version& version) {
  std::string mark =
      version.from(23, 3) ? "is_cache_entry BOOLEAN NOT NULL DEFAULT TRUE CHECK (is_cache_entry IN (0, 1)), " : "";
  return "CREATE TABLE cache_outputs (hash TEXT PRIMARY KEY NOT NULL, code INTEGER NOT NULL, size INTEGER NOT NULL, " +
         mark + "created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, accessed_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)";
}

// To 22.6 nx throws a database away that does not name its exact version, and 22.6 refuses one that names none.
Status name_version(sqlite::Database& database, const std::string& version) {
  auto made = database.execute("CREATE TABLE metadata (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)");
  if (!made) return made;
  return database.run("INSERT INTO metadata (key, value) VALUES ('NX_VERSION', ?)", {std::string_view(version)});
}

Status fill_new(sqlite::Database& database, const Version& version, const std::string& text) {
  if (auto set = database.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"); !set) return set;
  auto change = sqlite::Transaction::begin(database);
  if (!change) return std::move(change).error();
  if (auto made = database.execute(table_for(version).c_str()); !made) return made;
  if (!version.from(22, 7)) {
    if (auto named = name_version(database, text); !named) return named;
  }
  return change->commit(kWhat);
}

}  // namespace

Result<NxDatabase> NxDatabase::open(const std::filesystem::path& path, sqlite::Access access) {
  // Opening for writing would make a missing one, empty, and nx to 22.6 fails on that.
  std::error_code failure;
  if (!std::filesystem::exists(path, failure)) return Error{hitfs::Code::not_found, path.string() + " is not there"};
  auto database = sqlite::Database::open(path, access, kBusy);
  if (!database) return std::move(database).error();
  if (access == sqlite::Access::read_write) {
    if (auto set = (*database)->execute("PRAGMA synchronous=NORMAL"); !set) return std::move(set).error();
  }
  bool has_table = false;
  bool has_mark = false;
  {
    auto columns = (*database)->query("SELECT name FROM pragma_table_info('cache_outputs')");
    while (true) {
      auto row = columns.next();
      if (!row) return std::move(row).error();
      if (!*row) break;
      has_table = true;
      has_mark = has_mark || columns.text(0) == "is_cache_entry";
    }
  }
  if (!has_table) return Error{hitfs::Code::not_found, path.string() + " has no table of entries yet"};
  return NxDatabase(*std::move(database), has_mark);
}

Status NxDatabase::put(const std::vector<std::string>& hashes) {
  std::string_view sql =
      has_mark_ ? "INSERT INTO cache_outputs (hash, code, size, is_cache_entry) VALUES (?, 0, 0, 1) "
                  "ON CONFLICT (hash) DO UPDATE SET code = 0, is_cache_entry = 1, "
                  "created_at = CURRENT_TIMESTAMP, accessed_at = CURRENT_TIMESTAMP WHERE code <> 0 OR "
                  "is_cache_entry <> 1"
                : "INSERT INTO cache_outputs (hash, code, size) VALUES (?, 0, 0) ON CONFLICT (hash) DO UPDATE SET "
                  "code = 0, created_at = CURRENT_TIMESTAMP, accessed_at = CURRENT_TIMESTAMP "
                  "WHERE code <> 0";
  return for_each(sql, hashes);
}

Status NxDatabase::announce(const std::vector<std::string>& hashes) {
  return for_each(
      "INSERT INTO cache_outputs (hash, code, size, is_cache_entry) VALUES (?, 0, 0, 1) "
      "ON CONFLICT (hash) DO UPDATE SET code = 0, is_cache_entry = 1, "
      "created_at = CURRENT_TIMESTAMP, accessed_at = CURRENT_TIMESTAMP WHERE is_cache_entry <> 1",
      hashes);
}

Status NxDatabase::remove(const std::vector<std::string>& hashes) {
  return for_each("DELETE FROM cache_outputs WHERE hash = ?", hashes);
}

Status NxDatabase::for_each(std::string_view sql, const std::vector<std::string>& hashes) {
  for (size_t next = 0; next < hashes.size();) {
    if (next > 0) std::this_thread::sleep_for(kPause);
    auto change = sqlite::Transaction::begin(*database_);
    if (!change) return std::move(change).error();
    auto until = system_clock().now() + kLongestTransaction;
    do {
      if (auto done = database_->run(sql, {std::string_view(hashes[next])}); !done) return done;
      ++next;
    } while (next < hashes.size() && system_clock().now() < until);
    if (auto committed = change->commit(kWhat); !committed) return committed;
  }
  return Ok{};
}

Result<std::set<std::string>> NxDatabase::hashes() {
  std::set<std::string> all;
  auto rows = database_->query(has_mark_ ? "SELECT hash FROM cache_outputs WHERE is_cache_entry = 1"
                                         : "SELECT hash FROM cache_outputs");
  while (true) {
    auto row = rows.next();
    if (!row) return std::move(row).error();
    if (!*row) return all;
    all.insert(rows.text(0));
  }
}

Result<std::optional<NxDatabase::Code>> NxDatabase::code_of(const std::string& hash) {
  auto rows =
      database_->query(has_mark_ ? "SELECT code, created_at FROM cache_outputs WHERE hash = ? AND is_cache_entry = 1"
                                 : "SELECT code, created_at FROM cache_outputs WHERE hash = ?",
                       {std::string_view(hash)});
  auto row = rows.next();
  if (!row) return std::move(row).error();
  if (!*row) return std::optional<Code>{};
  return std::optional(Code{rows.integer(0), rows.text(1)});
}

std::optional<std::string> shared_database_of(std::string_view nx_version) {
  auto version = parse_version(nx_version);
  if (!version) return std::nullopt;
  if (version->from(24, 0)) return "shared-v6.db";
  if (version->from(23, 3)) return "shared-v4.db";
  if (version->from(23, 0)) return "shared-v3.db";
  if (version->from(22, 7)) return "shared-v2.db";
  return "shared.db";
}

Result<bool> is_of_another_version(const std::filesystem::path& path, const std::string& nx_version) {
  auto version = parse_version(nx_version);
  std::error_code failure;
  if (!version || version->from(22, 7) || !std::filesystem::exists(path, failure)) return false;
  auto database = sqlite::Database::open(path, sqlite::Access::read_only, NxDatabase::kBusy);
  if (!database) return std::move(database).error();
  {
    auto table = (*database)->query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'metadata'");
    auto there = table.next();
    if (!there) return std::move(there).error();
    // 22.6 fails on such a one, the others take it.
    if (!*there) return version->from(22, 0);
  }
  auto named = (*database)->query("SELECT value FROM metadata WHERE key = 'NX_VERSION'");
  auto row = named.next();
  if (!row) return std::move(row).error();
  return !*row || named.text(0) != nx_version;
}

Status make_shared_database(const std::filesystem::path& folder, const std::string& nx_version) {
  auto version = parse_version(nx_version);
  auto name = shared_database_of(nx_version);
  if (!version || !name) return Error{hitfs::Code::invalid_argument, "nx version " + nx_version + " cannot be read"};
  auto path = folder / *name;
  std::error_code failure;
  if (std::filesystem::exists(path, failure)) return Ok{};
  // Aside, so that nx never meets one that is half made.
  auto aside = folder / ("new-" + *name);
  for (const char* part : {"", "-wal", "-shm"}) {
    auto gone = io::unlink(aside.string() + part, kWhat);
    if (!gone && gone.error().code != hitfs::Code::not_found) return gone;
  }
  {
    auto database = sqlite::Database::open(aside, sqlite::Access::read_write, NxDatabase::kBusy);
    if (!database) return std::move(database).error();
    if (auto filled = fill_new(**database, *version, nx_version); !filled) return filled;
  }
  auto linked = io::link(aside, path, kWhat);
  auto removed = io::unlink(aside, kWhat);
  // Somebody else was quicker: nx itself.
  if (!linked && std::filesystem::exists(path, failure)) return removed;
  return linked ? removed : linked;
}

}  // namespace hitfs::fs
