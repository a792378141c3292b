#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "store/base/clock.h"
#include "store/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

// SQLite with our Results and owners. The only file that knows sqlite3.h is sqlite.cc.
namespace hitfs::sqlite {

// What a statement takes: NULL, a number, or bytes. Names are bytes: they need not be UTF-8.
using Value = std::variant<std::nullptr_t, int64_t, std::span<const std::byte>, std::string_view>;

// A number of ours as SQLite has it: signed.
[[nodiscard]] constexpr int64_t number(uint64_t value) { return static_cast<int64_t>(value); }

class Database;

// A statement in use: it goes back to its Database, reset, when it is dropped. Whatever failed while it was made is
// told by next(). Values of columns are valid until the next call of next().
class Query {
 public:
  Query(Query&& other) noexcept;
  Query& operator=(Query&&) = delete;
  ~Query();

  // True when there is a row; false at the end.
  Result<bool> next();
  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] int64_t integer(int column) const;
  [[nodiscard]] uint64_t unsigned_integer(int column) const { return static_cast<uint64_t>(integer(column)); }
  [[nodiscard]] std::span<const std::byte> bytes(int column) const;
  [[nodiscard]] std::string text(int column) const;

 private:
  friend class Database;
  Query(Database* database, sqlite3_stmt* statement, bool owned)
      : database_(database), statement_(statement), owned_(owned) {}

  Database* database_;
  sqlite3_stmt* statement_;
  bool owned_;
  int failed_ = 0;
};

enum class Access {
  read_only,   // the file must exist
  read_write,  // made when it is missing
};

// One connection; one thread at a time. Statements are prepared once and kept. Errors: `corrupt` (the file is no sound
// database), `no_space`, `unavailable` (busy for longer than the timeout), `not_found` (cannot be opened), `internal`.
class Database {
 public:
  // `busy` is how long a call waits for another process, e.g. during the recovery of a log.
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path, Access access, Milliseconds busy);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Several statements without values and results. One step of the I/O seam, as are opening and closing: all of them
  // may change files.
  Status execute(const char* sql);
  Query query(std::string_view sql, std::initializer_list<Value> values = {});
  // Runs to the end, ignoring rows.
  Status run(std::string_view sql, std::initializer_list<Value> values = {});
  // Rows changed by the last run().
  [[nodiscard]] uint64_t changes() const;
  // False when SQLite has rolled a transaction back by itself.
  [[nodiscard]] bool in_transaction() const;
  // The log stays beside the file when the last connection closes, so that readers without write access go on.
  Status keep_log();

 private:
  friend class Query;
  Database(sqlite3* handle, std::string name) : handle_(handle), name_(std::move(name)) {}
  [[nodiscard]] Error error(int result) const;

  sqlite3* handle_;
  std::string name_;
  struct Prepared {
    sqlite3_stmt* statement = nullptr;
    bool in_use = false;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, Prepared, TextHash, std::equal_to<>> prepared_;
};

// BEGIN IMMEDIATE ... COMMIT. Rolls back when it is dropped uncommitted. The commit is one step of the I/O seam.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit(std::string_view what);

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

// A part of a transaction that can be undone alone; undone when it is dropped before keep().
class Savepoint {
 public:
  static Result<Savepoint> begin(Database& database);
  Savepoint(Savepoint&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Savepoint& operator=(Savepoint&&) = delete;
  ~Savepoint();
  Status keep();

 private:
  explicit Savepoint(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace hitfs::sqlite
