// An index that is lost or damaged is made again from what else is on the disk.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <functional>

#include "store/access_log.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/index/numbers.h"
#include "store/index/sqlite.h"
#include "store/push_queue.h"
#include "tests/store/store_helpers.h"

namespace hitfs {
namespace {

using testing::bytes_of;
using testing::FastTempDir;
using testing::Files;
using testing::flat;
using testing::put_artifact;
using testing::put_tree;
using testing::read_tree;
using testing::why;

class IndexRebuildTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { log::set_level(log::Level::off); }
  static void TearDownTestSuite() { log::set_level(log::Level::info); }

  void SetUp() override { fill(); }

  std::unique_ptr<EntryStore> open() {
    auto opened = EntryStore::open(paths_, {});
    EXPECT_TRUE(opened) << why(opened);
    return opened ? *std::move(opened) : nullptr;
  }

  // A store whose index is one file.
  void fill() {
    std::filesystem::remove_all(paths_.root);
    auto store = open();
    for (const auto& [name, files] : trees_) ASSERT_TRUE(put_tree(*store, flat(name), files));
    auto last = put_artifact(*store, kArtifact, bytes_of(80'000, 9));
    ASSERT_TRUE(last);
    last_id_ = last->entry_id;
    store.reset();
    move_log_into_index();
  }

  void move_log_into_index() {
    auto database = sqlite::Database::open(paths_.index(), sqlite::Access::read_write, Milliseconds(100));
    ASSERT_TRUE((*database)->execute("PRAGMA wal_checkpoint(TRUNCATE)"));
    database->reset();
    for (const char* part : {"-wal", "-shm"}) std::filesystem::remove(paths_.index().string() + part);
  }

  void overwrite(size_t at, const std::string& bytes) {
    std::fstream file(paths_.index(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
  }

  std::vector<std::string> kept_aside() {
    std::vector<std::string> names;
    for (const auto& item : std::filesystem::directory_iterator(paths_.root)) {
      auto name = item.path().filename().string();
      if (name.starts_with("index.db.damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm"))
        names.push_back(name);
    }
    return names;
  }

  // Everything that was put is there, sound, and the numbers go on.
  void expect_everything_again(EntryStore& store) {
    for (const auto& [name, files] : trees_) {
      EXPECT_EQ(store.reader().find(flat(name)).error().code, Code::not_found) << "before anybody has read its bytes";
    }
    auto checked = store.check_after_reboot({});
    ASSERT_TRUE(checked) << why(checked);
    EXPECT_TRUE(checked->damaged.empty());
    for (const auto& [name, files] : trees_) EXPECT_EQ(read_tree(store.reader(), flat(name)).value(), files) << name;
    EXPECT_TRUE(store.reader().find(kArtifact));
    auto verified = store.verify(std::nullopt, {});
    ASSERT_TRUE(verified) << why(verified);
    EXPECT_TRUE(verified->damaged.empty()) << verified->damaged.front();
    EXPECT_EQ(store.stats().entries, trees_.size() + 1);
    auto after = put_tree(store, flat("after"), {{"f", "new"}});
    ASSERT_TRUE(after) << why(after);
    EXPECT_GT(after->entry_id, last_id_);
  }

  const Key kArtifact{"", "nx", "12345"};
  const std::map<std::string, Files> trees_{{"a", {{"small", "1"}, {"sub/large", bytes_of(100'000, 1)}}},
                                            {"b", {{"small", "1"}, {"other", bytes_of(5'000, 2)}}},
                                            {"c", {{"large", bytes_of(100'000, 1)}}}};
  FastTempDir dir_;
  StorePaths paths_{dir_ / "store"};
  uint64_t last_id_ = 0;
};

TEST_F(IndexRebuildTest, WhateverHappensToTheIndexItsEntriesAreHitsAgain) {
  struct Damage {
    std::string name, message;
    std::function<void()> happen;
  };
  auto size = std::filesystem::file_size(paths_.index());
  const std::vector<Damage> damages = {
      {"removed", "index lost", [&] { std::filesystem::remove(paths_.index()); }},
      {"empty", "index lost", [&] { std::filesystem::resize_file(paths_.index(), 0); }},
      {"cut in the middle", "index damaged", [&] { std::filesystem::resize_file(paths_.index(), size / 2 + 100); }},
      {"zeros", "index damaged", [&] { overwrite(0, std::string(size, '\0')); }},
      {"random bytes", "index damaged", [&] { overwrite(0, bytes_of(size, 77)); }},
      {"random bytes behind the first page", "index damaged", [&] { overwrite(4096, bytes_of(size - 4096, 78)); }},
      {"a text", "index damaged", [&] { std::ofstream(paths_.index()) << "no database, but as long as one would be"; }},
      {"removed with high-water", "index lost",
       [&] {
         std::filesystem::remove(paths_.index());
         std::filesystem::remove(paths_.high_water());
       }},
      {"found by a daemon", "index made again", [&] { std::ofstream(paths_.index_damaged()); }},
  };
  for (const auto& damage : damages) {
    SCOPED_TRACE(damage.name);
    fill();
    auto front = StoreReader::open(paths_);
    ASSERT_TRUE(front) << why(front);
    EXPECT_TRUE((*front)->find(flat("a")));
    front->reset();
    move_log_into_index();
    bool was_there = damage.name.find("removed") == std::string::npos;
    damage.happen();

    log::set_level(log::Level::error);
    ::testing::internal::CaptureStderr();
    auto store = open();
    auto said = ::testing::internal::GetCapturedStderr();
    log::set_level(log::Level::off);
    EXPECT_NE(said.find(damage.message), std::string::npos) << said;
    EXPECT_NE(said.find("index made again entries=4 blobs=4 lost=0"), std::string::npos) << said;
    EXPECT_EQ(kept_aside().size(), was_there ? 1u : 0u);
    expect_everything_again(*store);
    store.reset();
    EXPECT_FALSE(std::filesystem::exists(paths_.index_damaged()));
    EXPECT_SOUND(paths_);
  }
}

TEST_F(IndexRebuildTest, AFrontThatHasTheOldIndexOpenGoesOnWithTheNewOne) {
  auto front = StoreReader::open(paths_);
  ASSERT_TRUE((*front)->find(flat("a")));
  std::ofstream(paths_.index_damaged()).close();
  auto store = open();
  EXPECT_EQ((*front)->find(flat("a")).error().code, Code::not_found);
  ASSERT_TRUE(store->check_after_reboot({}));
  auto read = read_tree(**front, flat("a"));
  ASSERT_TRUE(read) << why(read);
  EXPECT_EQ(*read, trees_.at("a"));
}

TEST_F(IndexRebuildTest, DamageThatShowsInUseOnlyIsMended) {
  uint64_t page = 0;
  {
    auto database = sqlite::Database::open(paths_.index(), sqlite::Access::read_only, Milliseconds(100));
    auto query = (*database)->query("SELECT rootpage FROM sqlite_schema WHERE name = 'blobs_unreferenced'");
    ASSERT_TRUE(*query.next());
    page = query.unsigned_integer(0);
  }
  overwrite((page - 1) * 4096, std::string(4096, '\x77'));
  auto store = open();
  EXPECT_EQ(kept_aside().size(), 1u);
  expect_everything_again(*store);
  store.reset();
  EXPECT_SOUND(paths_);
}

TEST_F(IndexRebuildTest, ASchemaThatIsNotOursIsDamage) {
  for (const char* change : {"DROP INDEX entries_by_key", "ALTER TABLE pushes RENAME COLUMN why TO hwy",
                             "PRAGMA user_version = 0", "PRAGMA user_version = 129"}) {
    SCOPED_TRACE(change);
    fill();
    {
      auto database = sqlite::Database::open(paths_.index(), sqlite::Access::read_write, Milliseconds(100));
      ASSERT_TRUE((*database)->execute(change));
    }
    auto store = open();
    EXPECT_EQ(kept_aside().size(), 1u);
    expect_everything_again(*store);
  }
}

TEST_F(IndexRebuildTest, WhatIsIncompleteGoesAndLeavesNothing) {
  auto damage = [](const std::filesystem::path& path) {
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-20, std::ios::end);
    file << '\x77';
  };
  auto id = [&](const std::string& name) { return StoreReader::open(paths_).value()->find(flat(name)).value().id; };
  auto manifest_of_c = paths_.manifest(id("c"));
  auto large = paths_.blob(Digest::of(io::as_bytes(bytes_of(80'000, 9))).hex());  // the artifact
  std::vector<std::filesystem::path> packs;
  for (const auto& item : std::filesystem::directory_iterator(paths_.packs())) packs.push_back(item.path());
  std::sort(packs.begin(), packs.end());
  ASSERT_EQ(packs.size(), 2u);
  std::filesystem::remove(paths_.index());
  damage(manifest_of_c);
  damage(packs[1]);  // of b
  std::filesystem::remove(large);

  auto store = open();
  auto checked = store->check_after_reboot({});
  ASSERT_TRUE(checked) << why(checked);
  EXPECT_EQ(read_tree(store->reader(), flat("a")).value(), trees_.at("a"));
  for (const Key& key : {flat("b"), flat("c"), kArtifact}) {
    EXPECT_EQ(store->reader().find(key).error().code, Code::not_found) << key.text();
  }
  EXPECT_EQ(store->stats().entries, 1u);
  store.reset();
  EXPECT_SOUND(paths_);
}

TEST_F(IndexRebuildTest, OfSeveralEntriesOfAKeyTheLastIsVisible) {
  auto store = open();
  auto before = store->reader().find(flat("a")).value();
  Files newer{{"f", "newer"}};
  ASSERT_TRUE(put_tree(*store, flat("a"), newer));
  store.reset();
  std::filesystem::remove(paths_.index());

  store = open();
  ASSERT_TRUE(store->check_after_reboot({}));
  EXPECT_EQ(read_tree(store->reader(), flat("a")).value(), newer);
  auto retired = store->retired();
  ASSERT_TRUE(retired);
  ASSERT_EQ(retired->size(), 1u);
  EXPECT_EQ(retired->front().id, before.id);
  EXPECT_TRUE(store->release(before.id));
  EXPECT_EQ(store->stats().retired_bytes, 0u);
  store.reset();
  EXPECT_SOUND(paths_);
}

TEST_F(IndexRebuildTest, BytesThatAreWrongAreFoundBeforeAnybodyReadsThem) {
  auto large = paths_.blob(Digest::of(io::as_bytes(bytes_of(80'000, 9))).hex());
  ASSERT_EQ(::chmod(large.c_str(), 0600), 0);
  std::ofstream(large) << bytes_of(80'000, 10);
  std::filesystem::remove(paths_.index());
  auto store = open();
  auto checked = store->check_after_reboot({});
  ASSERT_TRUE(checked) << why(checked);
  ASSERT_EQ(checked->dropped_entries.size(), 1u);
  EXPECT_EQ(checked->dropped_entries.front(), kArtifact);
  EXPECT_EQ(store->reader().find(kArtifact).error().code, Code::not_found);
  EXPECT_EQ(read_tree(store->reader(), flat("a")).value(), trees_.at("a"));
}

TEST_F(IndexRebuildTest, WhatNoServerIsKnownToHaveIsPushedAgain) {
  auto store = open();
  auto& log = store->access_log();
  log.record(flat("a"), AccessKind::stored, "mount");
  log.record(flat("b"), AccessKind::stored, "mount");
  log.record(flat("b"), AccessKind::pushed, "server");
  log.record(flat("c"), AccessKind::pulled, "server");
  store.reset();
  std::filesystem::remove(paths_.index());

  store = open();
  ASSERT_TRUE(store->check_after_reboot({}));
  auto origin = [&](const Key& key) { return store->reader().find(key).value().origin; };
  EXPECT_EQ(origin(flat("a")), "local");
  EXPECT_EQ(origin(flat("b")), "local");
  EXPECT_EQ(origin(flat("c")), "server");
  EXPECT_EQ(origin(kArtifact), "unknown");
  auto& queue = store->push_queue();
  EXPECT_EQ(queue.stats().waiting, 1u);
  EXPECT_FALSE(*queue.take("server", PushQueue::Order::oldest_first, 1)) << "it has no remote yet";
  ASSERT_TRUE(queue.assign({"server", "other"}, 0));
  EXPECT_EQ(queue.stats().waiting, 2u);
  for (const char* remote : {"server", "other"}) {
    auto job = queue.take(remote, PushQueue::Order::oldest_first, 1);
    ASSERT_TRUE(job && *job) << remote;
    EXPECT_EQ((*job)->key, flat("a"));
    EXPECT_TRUE(queue.done(**job));
  }
  EXPECT_EQ(queue.stats().waiting_bytes, 0u);
  store.reset();
  EXPECT_SOUND(paths_);
}

// Fails the step with this number.
class FailingStep final : public io::FaultInjector {
 public:
  explicit FailingStep(size_t number) : number_(number) { io::install_fault_injector(this); }
  ~FailingStep() override { io::install_fault_injector(nullptr); }
  FailingStep(const FailingStep&) = delete;
  FailingStep& operator=(const FailingStep&) = delete;
  Status before(const Step& /*step*/) override {
    return ++count_ >= number_ ? Status(Error{Code::internal, "broken"}) : Status(Ok{});
  }
  void after(const Step& /*step*/, bool /*succeeded*/) override {}

 private:
  const size_t number_;
  std::atomic<size_t> count_ = 0;
};

TEST_F(IndexRebuildTest, ARebuildThatDoesNotComeToItsEndIsBegunAgain) {
  size_t failed = 0;
  for (size_t number = 1;; ++number) {
    SCOPED_TRACE(number);
    fill();
    overwrite(0, bytes_of(5'000, 1));
    bool opened = false;
    {
      FailingStep failing(number);
      opened = EntryStore::open(paths_, {}).has_value();
    }
    auto store = open();
    ASSERT_TRUE(store);
    expect_everything_again(*store);
    store.reset();
    EXPECT_EQ(kept_aside().size(), 1u);
    EXPECT_SOUND(paths_);
    if (opened) break;
    ++failed;
  }
  EXPECT_GT(failed, 5u);
}

}  // namespace
}  // namespace hitfs
