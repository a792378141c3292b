// Rows in databases of every shape that a version of nx makes, and the files around them.
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "fs/nx/private_files.h"
#include "fs/nx/row_database.h"
#include "tests/fs/nx_databases.h"
#include "tests/support/temp_dir.h"

namespace hitfs::fs {
namespace {

using Rows = std::set<std::string>;

NxDatabase opened(const std::filesystem::path& path) {
  return std::move(NxDatabase::open(path, sqlite::Access::read_write).value());
}

class NxRowsTest : public ::testing::TestWithParam<NxShape> {
 protected:
  NxRowsTest() { make_nx_database(path, GetParam()); }
  testing::TempDir dir;
  std::filesystem::path path = dir / "shared.db";
};

TEST_P(NxRowsTest, RowsComeAndGo) {
  EXPECT_TRUE(opened(path).put({"1", "2"}));
  EXPECT_EQ(nx_rows(path), (Rows{"1:0", "2:0"}));
  EXPECT_EQ(opened(path).hashes().value(), (Rows{"1", "2"}));
  EXPECT_TRUE(opened(path).remove({"1", "3"}));
  EXPECT_EQ(nx_rows(path), (Rows{"2:0"}));
}

TEST_P(NxRowsTest, ARowIsMadeGoodAgain) {
  add_nx_row(path, "1", 7);
  EXPECT_TRUE(opened(path).put({"1"}));
  EXPECT_EQ(nx_rows(path), (Rows{"1:0"}));
}

TEST_P(NxRowsTest, ARowThatIsGoodStaysAsOldAsItIs) {
  add_nx_row(path, "1", 0, "2001-02-03 04:05:06");
  EXPECT_TRUE(opened(path).put({"1"}));
  EXPECT_EQ(opened(path).code_of("1").value()->created_at, "2001-02-03 04:05:06");
}

TEST_P(NxRowsTest, OnlyWhereARowIsMarkedItMayComeBeforeItsFiles) {
  EXPECT_EQ(opened(path).is_announcing(), GetParam() == NxShape::with_mark);
}

TEST_P(NxRowsTest, TellsTheCodeOfATask) {
  add_nx_row(path, "1", 130);
  EXPECT_EQ(opened(path).code_of("1").value()->code, 130);
  EXPECT_FALSE(opened(path).code_of("2").value().has_value());
}

// nx writes at each lookup: it must not wait for the end of a large store.
TEST_P(NxRowsTest, ManyRowsLetOthersInBetween) {
  std::vector<std::string> many;
  for (int i = 0; i < 30'000; ++i) many.push_back(std::to_string(1'000'000 + i));
  auto rows = opened(path);
  std::atomic<bool> done = false;
  Status put = Ok{};
  std::jthread writer([&] {
    put = rows.put(many);
    done = true;
  });
  auto other = std::move(sqlite::Database::open(path, sqlite::Access::read_only, Milliseconds(5000)).value());
  bool saw_a_part = false;
  while (!done) {
    auto query = other->query("SELECT count(*) FROM cache_outputs");
    ASSERT_TRUE(query.next().value());
    saw_a_part = saw_a_part || (query.integer(0) > 0 && query.integer(0) < 30'000);
  }
  writer.join();
  EXPECT_TRUE(put);
  EXPECT_TRUE(saw_a_part);
  EXPECT_EQ(nx_rows(path).size(), 30'000u);
}

TEST_P(NxRowsTest, ADatabaseInUseIsWaitedForAndThenLeft) {
  auto other = std::move(sqlite::Database::open(path, sqlite::Access::read_write, Milliseconds(100)).value());
  auto held = sqlite::Transaction::begin(*other);
  ASSERT_TRUE(held);
  auto put = opened(path).put({"1"});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Code::unavailable);
  EXPECT_EQ(nx_rows(path), Rows{});
}

INSTANTIATE_TEST_SUITE_P(Shapes, NxRowsTest,
                         ::testing::Values(NxShape::with_version, NxShape::plain, NxShape::with_mark));

TEST(NxDatabaseTest, ADemotedRowIsNoEntryUntilItIsPutAgain) {
  testing::TempDir dir;
  auto path = dir / "shared-v4.db";
  make_nx_database(path, NxShape::with_mark);
  add_nx_row(path, "1", 0);
  run_sql(path, "UPDATE cache_outputs SET is_cache_entry = 0");
  EXPECT_FALSE(opened(path).code_of("1").value().has_value());
  EXPECT_TRUE(opened(path).hashes().value().empty());
  EXPECT_TRUE(opened(path).put({"1"}));
  EXPECT_EQ(nx_rows(path), (Rows{"1:0"}));
}

TEST(NxDatabaseTest, AnAnnouncementLeavesRowsThatCountAlone) {
  testing::TempDir dir;
  auto path = dir / "shared-v4.db";
  make_nx_database(path, NxShape::with_mark);
  add_nx_row(path, "1", 7);
  add_nx_row(path, "2", 7);
  run_sql(path, "UPDATE cache_outputs SET is_cache_entry = 0 WHERE hash = '2'");
  ASSERT_TRUE(opened(path).is_announcing());
  EXPECT_TRUE(opened(path).announce({"1", "2", "3"}));
  EXPECT_EQ(nx_rows(path), (Rows{"1:7", "2:0", "3:0"}));
}

TEST(NxDatabaseTest, ADatabaseThatNxIsJustMakingIsNotThereYet) {
  testing::TempDir dir;
  auto path = dir / "shared.db";
  EXPECT_EQ(NxDatabase::open(path, sqlite::Access::read_write).error().code, Code::not_found);
  EXPECT_FALSE(std::filesystem::exists(path)) << "nx fails on an empty one";
  run_sql(path, "CREATE TABLE task_details (hash TEXT)");
  EXPECT_EQ(NxDatabase::open(path, sqlite::Access::read_write).error().code, Code::not_found);
}

TEST(NxDatabaseTest, EveryVersionHasItsFile) {
  const std::pair<const char*, const char*> cases[] = {
      {"20.8.2", "shared.db"},     {"21.6.5", "shared.db"},          {"22.6.5", "shared.db"},
      {"22.7.12", "shared-v2.db"}, {"23.0.2", "shared-v3.db"},       {"23.2.1", "shared-v3.db"},
      {"23.3.2", "shared-v4.db"},  {"24.0.0", "shared-v6.db"},       {"24.0.6", "shared-v6.db"},
      {"25.1.0", "shared-v6.db"},  {"24.1.0-beta.2", "shared-v6.db"}};
  for (const auto& [version, file] : cases) EXPECT_EQ(shared_database_of(version), file) << version;
  for (const char* none : {"", "24", "x.y.z", "v24.0.6"}) EXPECT_EQ(shared_database_of(none), std::nullopt) << none;
}

TEST(NxDatabaseTest, IsMadeInTheShapeOfItsVersion) {
  struct Case {
    const char *version, *file;
    bool has_mark, names_version;
  };
  for (const auto& one : {Case{"20.8.2", "shared.db", false, true}, Case{"22.6.5", "shared.db", false, true},
                          Case{"22.7.12", "shared-v2.db", false, false}, Case{"23.3.2", "shared-v4.db", true, false},
                          Case{"24.0.6", "shared-v6.db", true, false}}) {
    testing::TempDir dir;
    ASSERT_TRUE(make_shared_database(dir.path(), one.version)) << one.version;
    auto database =
        std::move(sqlite::Database::open(dir / one.file, sqlite::Access::read_only, Milliseconds(100)).value());
    auto mark = database->query("SELECT 1 FROM pragma_table_info('cache_outputs') WHERE name = 'is_cache_entry'");
    EXPECT_EQ(mark.next().value(), one.has_mark) << one.version;
    EXPECT_EQ(is_of_another_version(dir / one.file, one.version).value(), false) << one.version;
    EXPECT_EQ(is_of_another_version(dir / one.file, "21.0.0").value(), one.names_version) << one.version;
    // What is there stays.
    ASSERT_TRUE(opened(dir / one.file).put({"1"}));
    ASSERT_TRUE(make_shared_database(dir.path(), one.version));
    EXPECT_EQ(nx_rows(dir / one.file), (Rows{"1:0"}));
  }
}

TEST(PrivateFilesTest, ADatabaseGoesWithItsLog) {
  testing::TempDir dir;
  const PrivateFiles files(dir / "private");
  ASSERT_TRUE(files.make());
  for (const char* name : {"shared.db", "shared.db-wal", "shared.db-shm", "shared.db-journal", "shared-v6.db"}) {
    std::ofstream(files.folder() / name) << "x";
  }
  EXPECT_EQ(files.shared_databases().size(), 2u);
  ASSERT_TRUE(PrivateFiles::remove(files.folder() / "shared.db"));
  EXPECT_EQ(files.shared_databases(), std::vector<std::filesystem::path>{files.folder() / "shared-v6.db"});
  EXPECT_FALSE(std::filesystem::exists(files.folder() / "shared.db-wal"));
  EXPECT_TRUE(PrivateFiles::remove(files.folder() / "shared.db")) << "twice does no harm";
}

TEST(PrivateFilesTest, TheLockOfNxIsNotWaitedFor) {
  testing::TempDir dir;
  auto first = PrivateFiles::try_lock(dir / "shared.db");
  ASSERT_TRUE(first && *first);
  EXPECT_TRUE(std::filesystem::exists(dir / "shared.lock"));
  auto second = PrivateFiles::try_lock(dir / "shared.db");
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->has_value());
}

}  // namespace
}  // namespace hitfs::fs
