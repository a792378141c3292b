// What a store refuses, and how it gets over the loss of its index.

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "store/access_log.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/index/numbers.h"
#include "store/index/sqlite.h"
#include "store/upkeep/store_lock.h"
#include "tests/store/store_helpers.h"

namespace hitfs {
namespace {

using testing::bytes_of;
using testing::FastTempDir;
using testing::flat;
using testing::put_tree;
using testing::read_tree;
using testing::why;

class StoreOpeningTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { log::set_level(log::Level::off); }
  static void TearDownTestSuite() { log::set_level(log::Level::info); }

  std::unique_ptr<EntryStore> open() {
    auto opened = EntryStore::open(paths_, {});
    EXPECT_TRUE(opened) << why(opened);
    return opened ? *std::move(opened) : nullptr;
  }
  Error refusal(const EntryStore::Options& options = {}) {
    auto opened = EntryStore::open(paths_, options);
    EXPECT_FALSE(opened);
    return opened ? Error{Code::internal, "opened"} : opened.error();
  }
  void write(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }
  static bool mentions(const Error& error, const std::string& text) {
    return error.message.find(text) != std::string::npos;
  }
  std::vector<std::string> names_with(const std::string& part) {
    std::vector<std::string> names;
    for (const auto& item : std::filesystem::directory_iterator(paths_.root)) {
      auto name = item.path().filename().string();
      if (name.starts_with(part) && !name.ends_with("-wal") && !name.ends_with("-shm")) names.push_back(name);
    }
    return names;
  }

  FastTempDir dir_;
  StorePaths paths_{dir_ / "deep/er"};
};

TEST_F(StoreOpeningTest, ASecondDaemonIsToldWhoIsThere) {
  auto first = open();
  auto error = refusal();
  EXPECT_EQ(error.code, Code::unavailable);
  EXPECT_TRUE(mentions(error, std::to_string(::getpid()))) << error.message;
  EXPECT_TRUE(mentions(error, "hitfs stop")) << error.message;
  first.reset();
  EXPECT_TRUE(open());
}

TEST_F(StoreOpeningTest, NetworkFileSystemsAreRefused) {
  for (uint64_t type : {0x6969u, 0xFF534D42u, 0xFE534D42u, 0x01021997u, 0x65735546u}) {
    EntryStore::Options options;
    options.filesystem_type = [type](const std::filesystem::path&) -> Result<uint64_t> { return type; };
    auto error = refusal(options);
    EXPECT_EQ(error.code, Code::invalid_argument);
    EXPECT_TRUE(mentions(error, "--store")) << error.message;
  }
  EXPECT_FALSE(std::filesystem::exists(paths_.root)) << "nothing was made";
  EXPECT_TRUE(filesystem_type_of(paths_.root));
}

TEST_F(StoreOpeningTest, ANewerFormatIsRefused) {
  open();
  write(paths_.format(), "hitfs store 2\n");
  auto error = refusal();
  EXPECT_EQ(error.code, Code::invalid_argument);
  EXPECT_TRUE(mentions(error, "newer hitfs")) << error.message;
  write(paths_.format(), "rubbish");
  EXPECT_EQ(refusal().code, Code::invalid_argument);
  write(paths_.format(), "hitfs store 1\n");
  EXPECT_TRUE(open());
}

TEST_F(StoreOpeningTest, AFolderOfSomethingElseIsRefused) {
  std::filesystem::create_directories(paths_.root);
  write(paths_.root / "thesis.tex", "x");
  auto error = refusal();
  EXPECT_EQ(error.code, Code::invalid_argument);
  EXPECT_TRUE(mentions(error, "thesis.tex")) << error.message;
  std::filesystem::remove(paths_.root / "thesis.tex");
  write(paths_.root / "supervisor.lock", "1");
  EXPECT_TRUE(open()) << "what the supervisor puts there is fine";
}

TEST_F(StoreOpeningTest, AnOpeningThatWasKilledAtItsFirstStepIsNoObstacle) {
  std::filesystem::create_directories(paths_.root);
  write(paths_.root / "format.new", "hitfs st");
  EXPECT_TRUE(open());
}

TEST_F(StoreOpeningTest, AnOlderReaderRefusesANewerIndex) {
  EXPECT_EQ(StoreReader::open(paths_).error().code, Code::not_found);
  open();
  EXPECT_TRUE(StoreReader::open(paths_));
  {
    auto database = sqlite::Database::open(paths_.index(), sqlite::Access::read_write, Milliseconds(100));
    ASSERT_TRUE((*database)->execute("PRAGMA user_version = 2; PRAGMA application_id = 0x68660002"));
  }
  auto reader = StoreReader::open(paths_);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, Code::invalid_argument);
  EXPECT_EQ(refusal().code, Code::invalid_argument);
}

TEST_F(StoreOpeningTest, ALostHighWaterMarkIsFoundAgain) {
  for (const std::string& text : {std::string("none"), std::string("hitfs high-water 12x\n")}) {
    auto store = open();
    auto before = put_tree(*store, flat("a" + text.substr(0, 3)), {{"f", "1"}});
    ASSERT_TRUE(before);
    store.reset();
    if (text == "none") {
      std::filesystem::remove(paths_.high_water());
    } else {
      write(paths_.high_water(), text);
    }
    store = open();
    auto after = put_tree(*store, flat("b" + text.substr(0, 3)), {{"f", "1"}});
    ASSERT_TRUE(after) << why(after);
    EXPECT_GT(after->entry_id, before->entry_id);
  }
}

TEST(NumbersTest, SkipsWhatAnotherProcessMayHaveUsed) {
  FastTempDir dir;
  uint64_t first = 0;
  {
    auto numbers = Numbers::open(dir / "n", 0, Numbers::Damage::refuse);
    ASSERT_TRUE(numbers);
    first = (*numbers)->take(10).value();
    EXPECT_EQ(first, Numbers::kFirst);
    EXPECT_EQ((*numbers)->take(1).value(), first + 10);
    // More than a block at once.
    auto many = (*numbers)->take(3 * Numbers::kBlock).value();
    EXPECT_EQ(many, first + 11);
    EXPECT_GE((*numbers)->take(1).value(), many + 3 * Numbers::kBlock);
  }
  auto again = Numbers::open(dir / "n", 0, Numbers::Damage::refuse);
  ASSERT_TRUE(again);
  EXPECT_GT((*again)->take(1).value(), first + 3 * Numbers::kBlock + 11);
  EXPECT_EQ((*again)->take(Numbers::kEnd).error().code, Code::no_space);
}

TEST(NumbersTest, NothingIsGivenOutThatIsNotReservedOnDisk) {
  FastTempDir dir;
  std::filesystem::create_directories(dir / "n.new");  // replace_file() cannot write beside the file
  auto numbers = Numbers::open(dir / "n", 0, Numbers::Damage::refuse);
  ASSERT_TRUE(numbers);
  EXPECT_FALSE((*numbers)->take(1));
  std::filesystem::remove(dir / "n.new");
  EXPECT_TRUE((*numbers)->take(1));
}

class AccessLogTest : public ::testing::Test {
 protected:
  std::unique_ptr<AccessLog> open(int64_t records = 100) { return AccessLog::open(dir_ / "log.db", clock_, records); }
  FastTempDir dir_;
  testing::StillClock clock_;
};

TEST_F(AccessLogTest, TellsTheNewestFirst) {
  auto log = open();
  log->record(flat("a"), AccessKind::miss, "r1, r2");
  clock_.move(std::chrono::seconds(1));
  log->record(flat("b"), AccessKind::hit, "");
  clock_.move(std::chrono::seconds(1));
  log->record(flat("a"), AccessKind::pulled, "r1");
  auto history = log->history(flat("a"), 10);
  ASSERT_TRUE(history);
  ASSERT_EQ(history->size(), 2u);
  EXPECT_EQ((*history)[0].kind, AccessKind::pulled);
  EXPECT_EQ((*history)[1].detail, "r1, r2");
  EXPECT_EQ((*history)[0].time_ms, (*history)[1].time_ms + 2000);
  EXPECT_EQ(log->after(0, 2)->size(), 2u);
  auto first = log->after(0, 10);
  EXPECT_EQ(first->size(), 3u);
  EXPECT_EQ(first->front().kind, AccessKind::miss) << "oldest first";
  EXPECT_EQ(*log->last_number(), first->back().number);
  EXPECT_TRUE(log->after(first->back().number, 10)->empty());
  log.reset();
  EXPECT_EQ(open()->history(flat("a"), 1)->front().kind, AccessKind::pulled);
}

TEST_F(AccessLogTest, KeepsARing) {
  auto log = open(100);
  for (int i = 0; i < 500; ++i) log->record(flat("k" + std::to_string(i)), AccessKind::hit, "");
  auto kept = log->after(0, 1000);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->size(), 100u);
  EXPECT_EQ(kept->back().key.name, "k499");
}

TEST_F(AccessLogTest, ADamagedLogIsMadeAnew) {
  log::set_level(log::Level::off);
  open()->record(flat("a"), AccessKind::hit, "");
  std::ofstream(dir_ / "log.db")
      << "rubbish, and more of it, so that it is longer than a header of SQLite would be....";
  for (const char* part : {"-wal", "-shm"}) std::filesystem::remove((dir_ / "log.db").string() + part);
  auto log = open();
  log->record(flat("b"), AccessKind::hit, "");
  EXPECT_EQ(log->after(0, 10)->size(), 1u);
  // And where nothing can be written at all, nothing fails.
  auto none = AccessLog::open("/proc/none/log.db", clock_);
  none->record(flat("b"), AccessKind::hit, "");
  EXPECT_TRUE(none->after(0, 10)->empty());
  EXPECT_EQ(*none->last_number(), 0u);
  log::set_level(log::Level::info);
}

// As a power cut leaves it: the file opens, and a page of it is lost.
TEST_F(AccessLogTest, ALogThatIsFoundDamagedLaterIsMadeAnew) {
  log::set_level(log::Level::off);
  {
    auto log = open();
    for (int i = 0; i < 200; ++i) log->record(flat("a"), AccessKind::hit, std::string(100, 'x'));
  }
  std::fstream file(dir_ / "log.db", std::ios::in | std::ios::out | std::ios::binary);
  constexpr int kPage = 4096;
  file.seekp(kPage);
  file << std::string(static_cast<size_t>(std::filesystem::file_size(dir_ / "log.db")) - kPage, '\0');
  file.close();
  auto log = open();
  log->record(flat("b"), AccessKind::hit, "");
  auto history = log->history(flat("b"), 10);
  ASSERT_TRUE(history) << why(history);
  EXPECT_EQ(history->size(), 1u);
  EXPECT_EQ(log->after(0, 1000)->size(), 1u);
  log::set_level(log::Level::info);
}

}  // namespace
}  // namespace hitfs
