#include "store/index/index_reader.h"

#include <sys/stat.h>

#include <cerrno>

#include "store/base/io.h"

namespace hitfs {

namespace {

constexpr size_t kIdleConnections = 8;
// How long a call waits while another process recovers the log after a crash.
constexpr Milliseconds kBusy{2000};

std::string select(std::string_view columns, std::string_view rest) {
  return "SELECT " + std::string(columns) + " " + std::string(rest);
}

Result<std::optional<EntryRow>> first_entry(sqlite::Query query) {
  auto row = query.next();
  if (!row) return std::move(row).error();
  if (!*row) return std::optional<EntryRow>();
  return std::optional(entry_row(query));
}

template <typename Row>
Result<std::vector<Row>> all_rows(sqlite::Query query, Row (*read)(const sqlite::Query&)) {
  std::vector<Row> rows;
  while (true) {
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return rows;
    rows.push_back(read(query));
  }
}

}  // namespace

Result<std::unique_ptr<IndexReader>> IndexReader::open(std::filesystem::path index) {
  std::unique_ptr<IndexReader> reader(new IndexReader(std::move(index)));
  auto version = reader->with_connection([](sqlite::Database& database) -> Result<int64_t> {
    auto query = database.query("PRAGMA user_version");
    auto row = query.next();
    if (!row) return std::move(row).error();
    return query.integer(0);
  });
  if (!version) return std::move(version).error();
  if (*version > kIndexVersion) {
    return Error{Code::invalid_argument, reader->index_.string() + " has format " + std::to_string(*version) +
                                             "; this hitfs knows " + std::to_string(kIndexVersion) +
                                             ": use the newer hitfs that wrote it, or another --store"};
  }
  if (*version == 0) return Error{Code::not_found, reader->index_.string() + " is not made yet"};
  return reader;
}

uint64_t IndexReader::identity() {
  struct stat info {};
  if (::stat(index_.c_str(), &info) < 0) return 0;
  return static_cast<uint64_t>(info.st_ino);
}

Result<std::unique_ptr<sqlite::Database>> IndexReader::take(uint64_t identity) {
  {
    auto pool = pool_.lock();
    if (pool->identity != identity) {
      pool->idle.clear();
      pool->identity = identity;
    }
    if (!pool->idle.empty()) {
      auto connection = std::move(pool->idle.back());
      pool->idle.pop_back();
      return connection;
    }
  }
  auto opened = sqlite::Database::open(index_, sqlite::Access::read_only, kBusy);
  if (!opened) return std::move(opened).error();
  if (auto kept = (*opened)->keep_log(); !kept) return std::move(kept).error();
  return opened;
}

void IndexReader::give_back(uint64_t identity, std::unique_ptr<sqlite::Database> connection) {
  auto pool = pool_.lock();
  if (pool->identity == identity && pool->idle.size() < kIdleConnections) pool->idle.push_back(std::move(connection));
}

template <typename Body>
auto IndexReader::with_connection(Body body) -> decltype(body(std::declval<sqlite::Database&>())) {
  for (bool last_try : {false, true}) {
    uint64_t identity = this->identity();
    auto connection = take(identity);
    if (!connection) return std::move(connection).error();
    auto result = body(**connection);
    if (result) {
      give_back(identity, *std::move(connection));
      return result;
    }
    if (last_try) return result;
  }
  return Error{Code::internal, "unreachable"};
}

Result<std::optional<EntryRow>> IndexReader::find(const Key& key) {
  static const std::string kSql =
      select(kEntryColumns, "FROM entries WHERE scope = ?1 AND space = ?2 AND name = ?3 AND state = 0");
  return with_connection([&](sqlite::Database& database) {
    return first_entry(
        database.query(kSql, {io::as_bytes(key.scope), io::as_bytes(key.space), io::as_bytes(key.name)}));
  });
}

Result<std::optional<EntryRow>> IndexReader::at_or_before(uint64_t number) {
  static const std::string kSql = select(kEntryColumns, "FROM entries WHERE id <= ?1 ORDER BY id DESC LIMIT 1");
  return with_connection(
      [&](sqlite::Database& database) { return first_entry(database.query(kSql, {sqlite::number(number)})); });
}

Result<std::vector<EntryRow>> IndexReader::list(const std::string& scope, const std::string& space,
                                                const std::string& after, size_t limit) {
  static const std::string kSql = select(
      kEntryColumns, "FROM entries WHERE scope = ?1 AND space = ?2 AND name > ?3 AND state = 0 ORDER BY name LIMIT ?4");
  return with_connection([&](sqlite::Database& database) {
    return all_rows(
        database.query(kSql, {io::as_bytes(scope), io::as_bytes(space), io::as_bytes(after), sqlite::number(limit)}),
        entry_row);
  });
}

Result<std::vector<EntryRow>> IndexReader::entries_after(uint64_t after, size_t limit) {
  static const std::string kSql = select(kEntryColumns, "FROM entries WHERE id > ?1 ORDER BY id LIMIT ?2");
  return with_connection([&](sqlite::Database& database) {
    return all_rows(database.query(kSql, {sqlite::number(after), sqlite::number(limit)}), entry_row);
  });
}

Result<std::vector<EntryRow>> IndexReader::entries_of_epochs(uint64_t after, uint64_t upto, size_t limit) {
  static const std::string kSql =
      select(kEntryColumns, "FROM entries WHERE epoch > 0 AND epoch > ?1 AND epoch <= ?2 LIMIT ?3");
  return with_connection([&](sqlite::Database& database) {
    return all_rows(database.query(kSql, {sqlite::number(after), sqlite::number(upto), sqlite::number(limit)}),
                    entry_row);
  });
}

Result<std::vector<EntryRow>> IndexReader::retired() {
  static const std::string kSql = select(kEntryColumns, "FROM entries WHERE state = 1");
  return with_connection([&](sqlite::Database& database) { return all_rows(database.query(kSql), entry_row); });
}

Result<std::optional<BlobRow>> IndexReader::blob(const Digest& digest) {
  static const std::string kSql = select(kBlobColumns, "FROM blobs WHERE digest = ?1 AND size = ?2");
  return with_connection([&](sqlite::Database& database) -> Result<std::optional<BlobRow>> {
    auto query = database.query(kSql, {std::span(digest.hash), sqlite::number(digest.size)});
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return std::optional<BlobRow>();
    return std::optional(blob_row(query));
  });
}

Result<std::vector<BlobRow>> IndexReader::blobs_after(const std::optional<Digest>& after, size_t limit) {
  static const std::string kSql = select(kBlobColumns, "FROM blobs WHERE digest > ?1 ORDER BY digest LIMIT ?2");
  return with_connection([&](sqlite::Database& database) {
    std::span<const std::byte> from;
    if (after) from = after->hash;
    return all_rows(database.query(kSql, {from, sqlite::number(limit)}), blob_row);
  });
}

Result<Epochs> IndexReader::epochs() {
  static const std::string kSql = select(kEpochColumns, "FROM state");
  return with_connection([&](sqlite::Database& database) -> Result<Epochs> {
    auto query = database.query(kSql);
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return Error{Code::corrupt, "index.db has no state row"};
    return epochs_row(query);
  });
}

Result<std::string> IndexReader::kept_manifest(uint64_t id) {
  return with_connection([&](sqlite::Database& database) { return read_kept_manifest(database, id); });
}

Result<std::vector<std::string>> IndexReader::check() {
  return with_connection([&](sqlite::Database& database) -> Result<std::vector<std::string>> {
    auto query = database.query("PRAGMA quick_check(20)");
    std::vector<std::string> findings;
    while (true) {
      auto row = query.next();
      if (!row) return std::move(row).error();
      if (!*row) return findings;
      if (auto line = query.text(0); line != "ok") findings.push_back(std::move(line));
    }
  });
}

}  // namespace hitfs
