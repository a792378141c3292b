#include "store/index/sqlite.h"

#include <sqlite3.h>

#include <cstring>
#include <utility>

#include "store/base/disk_trouble.h"
#include "store/base/io.h"

namespace hitfs::sqlite {

namespace {

Code code_for(int result) {
  switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Code::corrupt;
    case SQLITE_FULL: return Code::no_space;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: return Code::unavailable;
    case SQLITE_CANTOPEN: return Code::not_found;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH: return Code::permission_denied;
    default: return Code::internal;
  }
}

// Errors that tell of the disk: somebody must hear of them, also where a caller goes on without the database.
bool is_of_disk(int result, bool writes) {
  switch (result & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY: return true;
    case SQLITE_CANTOPEN: return writes;  // the log or its index: the file itself was there
    default: return false;
  }
}

int bind(sqlite3_stmt* statement, int index, const Value& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return sqlite3_bind_int64(statement, index, *number);
  if (const auto* bytes = std::get_if<std::span<const std::byte>>(&value)) {
    // An empty span may have a null address, which SQLite would take as NULL.
    if (bytes->empty()) return sqlite3_bind_zeroblob(statement, index, 0);
    return sqlite3_bind_blob64(statement, index, bytes->data(), bytes->size(), SQLITE_TRANSIENT);
  }
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    return sqlite3_bind_text64(statement, index, text->empty() ? "" : text->data(), text->size(), SQLITE_TRANSIENT,
                               SQLITE_UTF8);
  }
  return sqlite3_bind_null(statement, index);
}

}  // namespace

Query::Query(Query&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      owned_(other.owned_),
      failed_(other.failed_) {}

Query::~Query() {
  if (statement_ == nullptr) return;
  if (owned_) {
    sqlite3_finalize(statement_);
    return;
  }
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  database_->prepared_.find(std::string_view(sqlite3_sql(statement_)))->second.in_use = false;
}

Result<bool> Query::next() {
  if (failed_ != SQLITE_OK) {
    auto error = database_->error(failed_);
    // Our statements are fixed: a file on which one cannot be prepared lacks a table or a column.
    if ((failed_ & 0xff) == SQLITE_ERROR) error.code = Code::corrupt;
    return error;
  }
  int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return database_->error(result);
}

bool Query::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

int64_t Query::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::span<const std::byte> Query::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  return {static_cast<const std::byte*>(data), static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

std::string Query::text(int column) const { return std::string(io::as_text(bytes(column))); }

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path, Access access, Milliseconds busy) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  flags |= access == Access::read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3* handle = nullptr;
  std::unique_ptr<Database> database;
  auto opened = io::step(io::Op::transaction, "open", [&]() -> Status {
    int result = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
    database.reset(new Database(handle, path.filename().string()));
    return result == SQLITE_OK ? Status(Ok{}) : in_context(path.parent_path().string(), database->error(result));
  });
  if (!opened) return std::move(opened).error();
  database->writes_ = access == Access::read_write;
  sqlite3_busy_timeout(handle, static_cast<int>(busy.count()));
  // As SQLite does by itself, which says nothing when it fails: the log then grows until the disk is well again.
  sqlite3_wal_hook(handle, checkpoint_when_long, database.get());
  return database;
}

Database::~Database() {
  for (auto& [sql, prepared] : prepared_) sqlite3_finalize(prepared.statement);
  // The last connection to end may write its log into the file. It ends also when a test refuses the step.
  bool closed = false;
  auto close = [&]() -> Status {
    closed = true;
    sqlite3_close(handle_);
    return Ok{};
  };
  [[maybe_unused]] auto done = io::step(io::Op::transaction, "close " + name_, close);
  if (!closed) sqlite3_close(handle_);
}

Error Database::error(int result) const {
  std::string message = name_ + ": " + sqlite3_errstr(result);
  if (handle_ != nullptr && sqlite3_extended_errcode(handle_) == result)
    message += std::string(" (") + sqlite3_errmsg(handle_) + ")";
  const int system = handle_ != nullptr ? sqlite3_system_errno(handle_) : 0;
  if (is_of_disk(result, writes_)) {
    if (is_disk_trouble(system)) message += std::string(": ") + std::strerror(system);
    warn_of_disk(name_, message);
  }
  return {code_for(result), std::move(message)};
}

int Database::checkpoint_when_long(void* self, sqlite3* handle, const char* schema, int frames) {
  constexpr int kLong = 1000;
  if (frames < kLong) return SQLITE_OK;
  int result = sqlite3_wal_checkpoint_v2(handle, schema, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (result == SQLITE_OK || (result & 0xff) == SQLITE_BUSY) return SQLITE_OK;
  warn_of_disk("checkpoint", static_cast<Database*>(self)->error(result).message);
  return SQLITE_OK;  // the transaction is in the log, and that is what counts
}

Status Database::execute(const char* sql) {
  return io::step(io::Op::transaction, "execute", [&]() -> Status {
    int result = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
    if (result != SQLITE_OK) return error(result);
    return Ok{};
  });
}

Query Database::query(std::string_view sql, std::initializer_list<Value> values) {
  auto found = prepared_.find(sql);
  if (found == prepared_.end()) found = prepared_.emplace(std::string(sql), Prepared{}).first;
  auto& prepared = found->second;
  int result = SQLITE_OK;
  Query query(this, nullptr, prepared.in_use);
  if (prepared.in_use || prepared.statement == nullptr) {
    // A statement that is in use already (a loop inside of its own loop) gets a second, short-lived copy.
    sqlite3_stmt* made = nullptr;
    result = sqlite3_prepare_v3(handle_, found->first.c_str(), static_cast<int>(found->first.size() + 1),
                                query.owned_ ? 0 : SQLITE_PREPARE_PERSISTENT, &made, nullptr);
    if (result != SQLITE_OK) {
      query.failed_ = result;
      return query;
    }
    query.statement_ = made;
    if (!query.owned_) prepared.statement = made;
  } else {
    query.statement_ = prepared.statement;
  }
  if (!query.owned_) prepared.in_use = true;
  int index = 0;
  for (const auto& value : values) {
    result = bind(query.statement_, ++index, value);
    if (result != SQLITE_OK) query.failed_ = result;
  }
  return query;
}

Status Database::run(std::string_view sql, std::initializer_list<Value> values) {
  auto running = query(sql, values);
  while (true) {
    auto row = running.next();
    if (!row) return std::move(row).error();
    if (!*row) return Ok{};
  }
}

uint64_t Database::changes() const { return static_cast<uint64_t>(sqlite3_changes64(handle_)); }

bool Database::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

Status Database::keep_log() {
  int on = 1;
  int result = sqlite3_file_control(handle_, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
  if (result != SQLITE_OK) return error(result);
  return Ok{};
}

Result<Transaction> Transaction::begin(Database& database) {
  if (auto begun = database.run("BEGIN IMMEDIATE"); !begun) return std::move(begun).error();
  return Transaction(database);
}

Transaction::~Transaction() {
  // Fails only when SQLite has rolled back by itself.
  if (database_ != nullptr) (void)database_->run("ROLLBACK");
}

Status Transaction::commit(std::string_view what) {
  auto done = io::step(io::Op::transaction, what, [&] { return database_->run("COMMIT"); });
  if (done) database_ = nullptr;
  return done;
}

Result<Savepoint> Savepoint::begin(Database& database) {
  if (auto begun = database.run("SAVEPOINT part"); !begun) return std::move(begun).error();
  return Savepoint(database);
}

Savepoint::~Savepoint() {
  if (database_ == nullptr) return;
  (void)database_->run("ROLLBACK TO part");
  (void)database_->run("RELEASE part");
}

Status Savepoint::keep() {
  auto kept = database_->run("RELEASE part");
  if (kept) database_ = nullptr;
  return kept;
}

}  // namespace hitfs::sqlite
