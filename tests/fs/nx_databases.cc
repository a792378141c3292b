#include "tests/fs/nx_databases.h"

#include <gtest/gtest.h>

#include "store/index/sqlite.h"

namespace hitfs::fs {

namespace {

std::unique_ptr<sqlite::Database> open(const std::filesystem::path& path) {
  return std::move(sqlite::Database::open(path, sqlite::Access::read_write, Milliseconds(5000)).value());
}

}  // namespace

void make_nx_database(const std::filesystem::path& path, NxShape shape, const std::string& version) {
  auto database = open(path);
  EXPECT_TRUE(database->execute("PRAGMA journal_mode=WAL"));
  std::string mark = shape == NxShape::with_mark
                         ? "is_cache_entry BOOLEAN NOT NULL DEFAULT TRUE CHECK (is_cache_entry IN (0, 1)), "
                         : "";
  std::string table =
      "CREATE TABLE cache_outputs (hash TEXT PRIMARY KEY NOT NULL, code INTEGER NOT NULL, size INTEGER NOT NULL, " +
      mark + "created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, accessed_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)";
  EXPECT_TRUE(database->execute(table.c_str()));
  if (shape != NxShape::with_version) return;
  EXPECT_TRUE(database->execute("CREATE TABLE metadata (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)"));
  EXPECT_TRUE(database->run("INSERT INTO metadata VALUES ('NX_VERSION', ?)", {std::string_view(version)}));
}

void add_nx_row(const std::filesystem::path& path, const std::string& hash, int code, const std::string& created_at) {
  run_sql(path, "INSERT INTO cache_outputs (hash, code, size, created_at) VALUES ('" + hash + "', " +
                    std::to_string(code) + ", 5, '" + created_at + "')");
}

void run_sql(const std::filesystem::path& path, const std::string& sql) {
  auto done = open(path)->execute(sql.c_str());
  EXPECT_TRUE(done) << sql;
}

std::set<std::string> nx_rows(const std::filesystem::path& path) {
  std::set<std::string> rows;
  auto database = open(path);
  bool has_mark = false;
  {
    auto columns = database->query("SELECT 1 FROM pragma_table_info('cache_outputs') WHERE name = 'is_cache_entry'");
    has_mark = columns.next().value();
  }
  auto query =
      database->query(std::string("SELECT hash, code, ") + (has_mark ? "is_cache_entry" : "1") + " FROM cache_outputs");
  while (query.next().value()) {
    rows.insert(query.text(0) + ":" + std::to_string(query.integer(1)) + (query.integer(2) == 1 ? "" : ":demoted"));
  }
  return rows;
}

}  // namespace hitfs::fs
