// Damaged bytes, and what a reboot makes doubtful.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "store/base/io.h"
#include "store/base/log.h"
#include "tests/store/store_helpers.h"

namespace hitfs {
namespace {

using testing::bytes_of;
using testing::FastTempDir;
using testing::Files;
using testing::flat;
using testing::put_blob;
using testing::put_tree;
using testing::read_blob;
using testing::read_tree;
using testing::why;

// Changes a byte of a file in place, as a failing disk does.
void damage(const std::filesystem::path& path, uint64_t at) {
  ::chmod(path.c_str(), 0600);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  char byte = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(byte ^ 1));
  ASSERT_TRUE(file.good());
}

std::filesystem::path only_file(const std::filesystem::path& folder) {
  for (const auto& item : std::filesystem::recursive_directory_iterator(folder)) {
    if (item.is_regular_file()) return item.path();
  }
  ADD_FAILURE() << "no file in " << folder;
  return {};
}

class StoreVerifyTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { log::set_level(log::Level::off); }
  static void TearDownTestSuite() { log::set_level(log::Level::info); }
  void SetUp() override { open("boot 1"); }
  void TearDown() override {
    auto retired = store_->retired();
    ASSERT_TRUE(retired);
    for (const auto& entry : *retired) EXPECT_TRUE(store_->release(entry.id));
    store_.reset();
    EXPECT_SOUND(paths_);
  }
  void open(const std::string& boot) {
    store_.reset();
    EntryStore::Options options;
    options.boot_id = boot;
    auto opened = EntryStore::open(paths_, options);
    ASSERT_TRUE(opened) << why(opened);
    store_ = *std::move(opened);
  }
  VerifyReport verify(const std::optional<Key>& only = std::nullopt) {
    auto report = store_->verify(only, {});
    EXPECT_TRUE(report) << why(report);
    return report ? *report : VerifyReport{};
  }
  StoreReader& reader() { return store_->reader(); }
  static CommitOptions durable() {
    CommitOptions options;
    options.durable = true;
    return options;
  }

  FastTempDir dir_;
  StorePaths paths_{dir_ / "store"};
  std::unique_ptr<EntryStore> store_;
};

TEST_F(StoreVerifyTest, ASoundStoreIsSound) {
  ASSERT_TRUE(put_tree(*store_, flat("a"), {{"1", "one"}, {"2", bytes_of(100'000, 1)}}));
  ASSERT_TRUE(put_tree(*store_, flat("b"), {{"1", "one"}}));
  auto report = verify();
  EXPECT_EQ(report.entries, 2u);
  EXPECT_EQ(report.blobs, 2u);
  EXPECT_EQ(report.bytes, 100'003u);
  EXPECT_TRUE(report.damaged.empty());
}

TEST_F(StoreVerifyTest, DamagedBytesInPacksAndFilesAreFoundAndPulledAgain) {
  for (const std::string& bytes : {std::string("small"), bytes_of(200'000, 1)}) {
    auto old = put_tree(*store_, flat("a"), {{"f", bytes}});
    auto sound = put_tree(*store_, flat("b"), {{"f", "other"}});
    ASSERT_TRUE(old && sound);
    auto front = StoreReader::open(paths_, "boot 1");
    ASSERT_EQ(read_tree(**front, flat("a"))->at("f"), bytes);  // opened and cached
    bool small = bytes.size() < 65536;
    damage(small ? paths_.pack(old->entry_id - 1) : only_file(paths_.cas()), small ? 1 : 1000);

    auto report = verify();
    EXPECT_EQ(report.damaged.size(), 1u);
    ASSERT_EQ(report.dropped_entries.size(), 1u);
    EXPECT_EQ(report.dropped_entries[0], flat("a"));
    EXPECT_EQ(reader().find(flat("a")).error().code, Code::not_found);
    EXPECT_TRUE(reader().find(flat("b")));
    auto digest = Digest::of(io::as_bytes(bytes));
    EXPECT_EQ(read_blob(**front, digest).error().code, Code::corrupt) << "nobody reads it any more";
    EXPECT_FALSE(*store_->begin()->has_blob(digest)) << "nor relies on it";

    // It comes again, while the old entry is still held by somebody.
    auto again = put_tree(*store_, flat("a"), {{"f", bytes}});
    ASSERT_TRUE(again) << why(again);
    EXPECT_EQ(again->result, CommitResult::committed);
    EXPECT_EQ(read_tree(**front, flat("a"))->at("f"), bytes);
    EXPECT_TRUE(verify().damaged.empty());
    ASSERT_TRUE(store_->release(old->entry_id));
    EXPECT_EQ(read_tree(**front, flat("a"))->at("f"), bytes);
    ASSERT_TRUE(store_->retire(again->entry_id, "test"));
    ASSERT_TRUE(store_->release(again->entry_id));
  }
}

TEST_F(StoreVerifyTest, OneEntryCanBeVerifiedAlone) {
  ASSERT_TRUE(put_tree(*store_, flat("a"), {{"f", bytes_of(100'000, 1)}}));
  damage(only_file(paths_.cas()), 5);
  ASSERT_TRUE(put_tree(*store_, flat("b"), {{"f", bytes_of(100'000, 2)}}));
  EXPECT_TRUE(verify(flat("b")).damaged.empty());
  auto report = verify(flat("a"));
  EXPECT_EQ(report.damaged.size(), 1u);
  EXPECT_EQ(report.dropped_entries.size(), 1u);
  EXPECT_EQ(store_->verify(flat("a"), {}).error().code, Code::not_found);
}

TEST_F(StoreVerifyTest, ADamagedManifestDropsItsEntry) {
  auto committed = put_tree(*store_, flat("a"), {{"f", bytes_of(100, 1)}});
  auto path = paths_.manifest(committed->entry_id);
  auto sound = io::read_file(path, 1 << 20).value();
  damage(path, 100);
  auto report = verify();
  EXPECT_EQ(report.damaged.size(), 1u);
  EXPECT_EQ(report.dropped_entries.size(), 1u);
  EXPECT_FALSE(reader().find(flat("a")));
  std::ofstream(path) << sound;  // so that the release at the end finds what it refers to
}

TEST_F(StoreVerifyTest, ALostFileIsDamage) {
  ASSERT_TRUE(put_tree(*store_, flat("a"), {{"f", bytes_of(100'000, 1)}}));
  std::filesystem::remove(only_file(paths_.cas()));
  EXPECT_EQ(read_blob(reader(), Digest::of(io::as_bytes(bytes_of(100'000, 1)))).error().code, Code::corrupt);
  EXPECT_EQ(verify().dropped_entries.size(), 1u);
}

TEST_F(StoreVerifyTest, StopsWhenItIsTold) {
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(put_tree(*store_, flat("k" + std::to_string(i)), {{"f", bytes_of(1000, static_cast<unsigned>(i))}}));
  }
  size_t calls = 0;
  auto report = store_->verify(std::nullopt, [&](uint64_t) { return ++calls < 2; });
  ASSERT_TRUE(report);
  EXPECT_EQ(report->blobs, 2u);
}

TEST_F(StoreVerifyTest, AfterARebootUnflushedEntriesAreInvisibleUntilChecked) {
  ASSERT_TRUE(put_tree(*store_, flat("durable"), {{"f", "1"}}, durable()));
  ASSERT_TRUE(put_tree(*store_, flat("flushed"), {{"f", "2"}}));
  ASSERT_TRUE(store_->flush());
  auto sound = put_tree(*store_, flat("sound"), {{"f", "3"}, {"g", "shared"}});
  auto broken = put_tree(*store_, flat("broken"), {{"f", bytes_of(100'000, 1)}, {"g", "shared"}});
  auto lost = put_tree(*store_, flat("lost"), {{"f", "4"}});
  ASSERT_TRUE(sound && broken && lost);
  // The end of the process without the flush of an orderly one.
  StorePaths after{dir_ / "after"};
  std::filesystem::copy(paths_.root, after.root, std::filesystem::copy_options::recursive);
  store_.reset();
  paths_ = after;
  damage(only_file(paths_.cas()), 7);
  std::filesystem::remove(paths_.manifest(lost->entry_id));

  // A front that starts before the daemon knows it as well.
  auto front = StoreReader::open(paths_, "boot 2");
  ASSERT_TRUE(front);
  auto expect = [](StoreReader& reader, const std::vector<std::string>& names) {
    std::vector<std::string> seen;
    auto listed = reader.list("", "flat", "", 10);
    ASSERT_TRUE(listed) << why(listed);
    for (const auto& entry : *listed) {
      seen.push_back(entry.key.name);
      EXPECT_TRUE(reader.find(entry.key));
    }
    EXPECT_EQ(seen, names);
  };
  expect(**front, {"durable", "flushed"});
  open("boot 2");
  expect(reader(), {"durable", "flushed"});
  EXPECT_EQ(reader().find(flat("sound")).error().code, Code::not_found);
  EXPECT_FALSE(*store_->begin()->has_blob(Digest::of(io::as_bytes("shared")))) << "not known to be right";
  // What comes meanwhile is believed, also under the key of an unchecked one.
  ASSERT_TRUE(put_tree(*store_, flat("new"), {{"g", "shared"}}));
  expect(reader(), {"durable", "flushed", "new"});

  auto report = store_->check_after_reboot({});
  ASSERT_TRUE(report) << why(report);
  EXPECT_EQ(report->dropped_entries, std::vector<Key>{flat("broken")});
  expect(reader(), {"durable", "flushed", "lost", "new", "sound"});
  expect(**front, {"durable", "flushed", "lost", "new", "sound"});
  EXPECT_EQ(*read_tree(**front, flat("sound")), (Files{{"f", "3"}, {"g", "shared"}}));
  EXPECT_EQ(read_tree(**front, flat("lost"))->at("f"), "4") << "its manifest was kept in the index";
  EXPECT_TRUE(store_->check_after_reboot({})->damaged.empty());
  open("boot 2");
  expect(reader(), {"durable", "flushed", "lost", "new", "sound"});
}

TEST_F(StoreVerifyTest, ADurableCommitOfWhatIsHereMakesThatDurable) {
  ASSERT_TRUE(put_tree(*store_, flat("pulled"), {{"f", bytes_of(100'000, 1)}, {"g", "tiny"}}));
  auto again = put_tree(*store_, flat("pulled"), {{"f", bytes_of(100'000, 1)}, {"g", "tiny"}}, durable());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->result, CommitResult::same);
  ASSERT_TRUE(put_tree(*store_, flat("other"), {{"f", "only pulled"}}));
  // Relies on a blob that is not flushed.
  ASSERT_TRUE(put_tree(*store_, flat("relies"), {{"f", "only pulled"}}, durable()));
  StorePaths after{dir_ / "after"};
  std::filesystem::copy(paths_.root, after.root, std::filesystem::copy_options::recursive);
  store_.reset();
  paths_ = after;
  open("boot 2");
  EXPECT_TRUE(reader().find(flat("pulled")));
  EXPECT_EQ(read_tree(reader(), flat("relies"))->at("f"), "only pulled");
}

TEST_F(StoreVerifyTest, AnAttachedArtifactIsNotBelievedAfterAReboot) {
  auto committed = put_tree(*store_, flat("a"), {{"f", "1"}}, durable());
  {
    auto intake = store_->begin();
    auto digest = put_blob(*intake, bytes_of(100'000, 1));
    ASSERT_TRUE(store_->attach_artifact(committed->entry_id, *digest, *intake));
  }
  StorePaths after{dir_ / "after"};
  std::filesystem::copy(paths_.root, after.root, std::filesystem::copy_options::recursive);
  store_.reset();
  paths_ = after;
  open("boot 2");
  ASSERT_TRUE(reader().find(flat("a")));
  EXPECT_FALSE(reader().find(flat("a"))->artifact);
  auto intake = store_->begin();
  auto digest = put_blob(*intake, bytes_of(100'000, 1));
  ASSERT_TRUE(store_->attach_artifact(committed->entry_id, *digest, *intake));
  EXPECT_TRUE(reader().find(flat("a"))->artifact);
  ASSERT_TRUE(store_->check_after_reboot({}));
  EXPECT_TRUE(reader().find(flat("a"))->artifact);
}

}  // namespace
}  // namespace hitfs
