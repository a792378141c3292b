#include "store/entry_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "store/base/io.h"
#include "store/index/numbers.h"
#include "tests/store/store_helpers.h"

namespace hitfs {
namespace {

using testing::bytes_of;
using testing::FastTempDir;
using testing::Files;
using testing::flat;
using testing::put_artifact;
using testing::put_blob;
using testing::put_tree;
using testing::read_blob;
using testing::read_tree;
using testing::StillClock;
using testing::why;

class EntryStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void TearDown() override {
    store_.reset();
    if (expect_sound_) EXPECT_SOUND(paths_);
  }

  void reopen() {
    store_.reset();
    options_.clock = &clock_;
    auto opened = EntryStore::open(paths_, options_);
    ASSERT_TRUE(opened) << why(opened);
    store_ = *std::move(opened);
  }
  StoreReader& reader() { return store_->reader(); }

  FastTempDir dir_;
  StorePaths paths_{dir_ / "store"};
  StillClock clock_;
  EntryStore::Options options_;
  std::unique_ptr<EntryStore> store_;
  bool expect_sound_ = true;
};

TEST_F(EntryStoreTest, AnEntryIsReadAsItWasWritten) {
  Files files{{"a/small", "hello"},
              {"a/b/large", bytes_of(300'000, 1)},
              {"empty", ""},
              {"edge", bytes_of(65536, 2)},
              {"below", bytes_of(65535, 3)}};
  auto committed = put_tree(*store_, flat("1f3a"), files);
  ASSERT_TRUE(committed) << why(committed);
  EXPECT_EQ(committed->result, CommitResult::committed);
  EXPECT_FALSE(committed->retired);
  EXPECT_GE(committed->entry_id, Numbers::kFirst);
  EXPECT_LT(committed->entry_id, Numbers::kEnd);

  auto entry = reader().find(flat("1f3a"));
  ASSERT_TRUE(entry) << why(entry);
  EXPECT_EQ(entry->id, committed->entry_id);
  EXPECT_EQ(entry->files, 5u);
  EXPECT_EQ(entry->bytes, 5u + 300'000 + 65536 + 65535);
  EXPECT_EQ(entry->span, 8u);
  EXPECT_EQ(entry->origin, "local");
  EXPECT_EQ(entry->created_ns, clock_.unix_ns());
  auto read = read_tree(reader(), flat("1f3a"));
  ASSERT_TRUE(read) << why(read);
  EXPECT_EQ(*read, files);
  // Two large files of their own, one pack, one manifest.
  EXPECT_EQ(store_->stats().files, 4u);
  EXPECT_EQ(store_->stats().blobs, 4u);
  EXPECT_EQ(reader().find(flat("1f3")).error().code, Code::not_found);
  EXPECT_EQ(reader().find({"", "nx", "1f3a"}).error().code, Code::not_found);
  EXPECT_EQ(reader().find({"pr/1", "flat", "1f3a"}).error().code, Code::not_found);
}

TEST_F(EntryStoreTest, NamesMayHoldAnyByte) {
  std::string odd = "\x01\xff'\" ;--\n\x80";
  ASSERT_TRUE(put_tree(*store_, flat(odd), {{"x", "1"}}));
  ASSERT_TRUE(put_tree(*store_, flat(odd + "2"), {{"x", "2"}}));
  EXPECT_TRUE(reader().find(flat(odd)));
  auto listed = reader().list("", "flat", "", 10);
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 2u);
  EXPECT_EQ((*listed)[0].key.name, odd);
  auto refused = put_tree(*store_, flat("a/b"), {{"x", "1"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::invalid_argument);
}

TEST_F(EntryStoreTest, ScopesAndNamespacesAreApart) {
  Key one{"main", "flat", "k"};
  Key other{"pr/1", "flat", "k"};
  ASSERT_TRUE(put_tree(*store_, one, {{"f", "main"}}));
  ASSERT_TRUE(put_tree(*store_, other, {{"f", "pr"}}));
  EXPECT_EQ(read_tree(reader(), one)->at("f"), "main");
  EXPECT_EQ(read_tree(reader(), other)->at("f"), "pr");
}

TEST_F(EntryStoreTest, NumbersOfAnEntryLeadBackToIt) {
  auto first = put_tree(*store_, flat("a"), {{"x", "1"}, {"y", "2"}});
  auto second = put_tree(*store_, flat("b"), {{"x", "3"}});  // with a pack, which takes a number in between
  ASSERT_TRUE(first && second);
  for (uint64_t offset = 0; offset < 3; ++offset) {
    auto entry = reader().containing(first->entry_id + offset);
    ASSERT_TRUE(entry) << why(entry);
    EXPECT_EQ(entry->key.name, "a");
  }
  EXPECT_EQ(reader().containing(second->entry_id)->key.name, "b");
  EXPECT_EQ(reader().containing(second->entry_id + 2).error().code, Code::not_found);
  EXPECT_EQ(reader().containing(1).error().code, Code::not_found);
  EXPECT_EQ(reader().containing(first->entry_id + 3).error().code, Code::not_found);
  // Retired ones too.
  ASSERT_TRUE(store_->retire(first->entry_id, "test"));
  auto fresh = StoreReader::open(paths_);
  ASSERT_TRUE(fresh);
  EXPECT_TRUE((*fresh)->containing(first->entry_id + 2)->retired);
}

TEST_F(EntryStoreTest, NumbersAreNeverUsedTwice) {
  auto first = put_tree(*store_, flat("a"), {{"x", "1"}, {"y", "2"}});
  reopen();
  auto second = put_tree(*store_, flat("b"), {{"x", "1"}});
  ASSERT_TRUE(first && second);
  EXPECT_GE(second->entry_id, first->entry_id + 3);
}

TEST_F(EntryStoreTest, EqualBytesAreKeptOnce) {
  auto large = bytes_of(100'000, 7);
  ASSERT_TRUE(put_tree(*store_, flat("a"), {{"1", large}, {"2", large}, {"3", "small"}, {"4", "small"}}));
  auto before = store_->stats();
  EXPECT_EQ(before.blobs, 2u);
  ASSERT_TRUE(put_tree(*store_, flat("b"), {{"1", large}, {"3", "small"}}));
  auto after = store_->stats();
  EXPECT_EQ(after.blobs, 2u);
  EXPECT_EQ(after.files, before.files + 1);  // a manifest
  EXPECT_EQ(*read_tree(reader(), flat("b")), (Files{{"1", large}, {"3", "small"}}));
}

TEST_F(EntryStoreTest, ADroppedIntakeLeavesNothing) {
  {
    auto intake = store_->begin();
    ASSERT_TRUE(put_blob(*intake, "small"));
    ASSERT_TRUE(put_blob(*intake, bytes_of(200'000, 1)));
    auto sink = intake->begin_blob(std::nullopt);
    ASSERT_TRUE(sink);
    ASSERT_TRUE((*sink)->write(io::as_bytes(bytes_of(100'000, 2))));
  }
  EXPECT_TRUE(std::filesystem::is_empty(paths_.intakes()));
  EXPECT_EQ(store_->stats().bytes, 0u);
}

TEST_F(EntryStoreTest, ACommitNeedsAllItsBlobs) {
  auto intake = store_->begin();
  ManifestBuilder tree;
  tree.root_directory(0755, 0);
  ASSERT_TRUE(tree.add_file(0, "f", 0644, 0, 3, Digest::of(io::as_bytes("abc"))));
  ManifestHeader header;
  header.key = flat("k");
  auto committed = intake->commit(tree, header, {});
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().code, Code::invalid_argument);
  EXPECT_FALSE(reader().find(flat("k")));
}

TEST_F(EntryStoreTest, HasBlobKnowsTheStoreAndTheIntake) {
  ASSERT_TRUE(put_tree(*store_, flat("a"), {{"f", "abc"}}));
  auto intake = store_->begin();
  EXPECT_TRUE(*intake->has_blob(Digest::of(io::as_bytes("abc"))));
  EXPECT_FALSE(*intake->has_blob(Digest::of(io::as_bytes("abd"))));
  EXPECT_TRUE(*intake->has_blob(Digest::of({})));
  ASSERT_TRUE(put_blob(*intake, "abd"));
  EXPECT_TRUE(*intake->has_blob(Digest::of(io::as_bytes("abd"))));
}

TEST_F(EntryStoreTest, AHeldBlobOutlivesTheReleaseOfItsEntry) {
  auto first = put_tree(*store_, flat("a"), {{"f", "abc"}});
  ASSERT_TRUE(first);
  auto digest = Digest::of(io::as_bytes("abc"));
  {
    auto intake = store_->begin();
    ASSERT_TRUE(*intake->has_blob(digest));
    ASSERT_TRUE(store_->retire(first->entry_id, "test"));
    ASSERT_TRUE(store_->release(first->entry_id));
    ManifestBuilder tree;
    tree.root_file(0644, 0, 3, digest);
    ManifestHeader header;
    header.key = flat("b");
    header.kind = EntryKind::file;
    auto committed = intake->commit(tree, header, {});
    ASSERT_TRUE(committed) << why(committed);
  }
  EXPECT_EQ(*read_blob(reader(), digest), "abc");
  {
    auto intake = store_->begin();
    ASSERT_TRUE(*intake->has_blob(digest));
    auto id = reader().find(flat("b"))->id;
    ASSERT_TRUE(store_->retire(id, "test"));
    ASSERT_TRUE(store_->release(id));
    EXPECT_EQ(store_->stats().blobs, 1u);
  }
  EXPECT_EQ(store_->stats().blobs, 0u);
  EXPECT_EQ(store_->stats().bytes, 0u);
}

TEST_F(EntryStoreTest, TheSameAgainIsSame) {
  auto first = put_tree(*store_, flat("a"), {{"f", "abc"}});
  for (bool replace : {true, false}) {
    auto again = put_tree(*store_, flat("a"), {{"f", "abc"}}, {.replace = replace});
    ASSERT_TRUE(again) << why(again);
    EXPECT_EQ(again->result, CommitResult::same);
    EXPECT_EQ(again->entry_id, first->entry_id);
  }
  EXPECT_EQ(store_->stats().files, 2u);
}

TEST_F(EntryStoreTest, OtherBytesAreDifferentOrReplace) {
  auto first = put_tree(*store_, flat("a"), {{"f", "abc"}});
  auto refused = put_tree(*store_, flat("a"), {{"f", "abd"}}, {.replace = false});
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->result, CommitResult::different);
  EXPECT_EQ(refused->entry_id, first->entry_id);
  auto replaced = put_tree(*store_, flat("a"), {{"f", "abd"}});
  ASSERT_TRUE(replaced);
  EXPECT_EQ(replaced->result, CommitResult::committed);
  ASSERT_TRUE(replaced->retired);
  EXPECT_EQ(replaced->retired->id, first->entry_id);
  EXPECT_EQ(read_tree(reader(), flat("a"))->at("f"), "abd");
  EXPECT_EQ(store_->stats().entries, 1u);
  EXPECT_EQ(store_->stats().retired_entries, 1u);
}

TEST_F(EntryStoreTest, ArtifactsAreComparedByTheirBytes) {
  Key key{"", "nx", "42"};
  ASSERT_TRUE(put_artifact(*store_, key, bytes_of(1000, 1)));
  EXPECT_EQ(put_artifact(*store_, key, bytes_of(1000, 1), {.replace = false})->result, CommitResult::same);
  EXPECT_EQ(put_artifact(*store_, key, bytes_of(1000, 2), {.replace = false})->result, CommitResult::different);
  auto entry = reader().find(key);
  ASSERT_TRUE(entry && entry->artifact);
  EXPECT_EQ(*read_blob(reader(), *entry->artifact), bytes_of(1000, 1));
  EXPECT_EQ(entry->bytes, 1000u);
  EXPECT_EQ(entry->span, 1u);
}

TEST_F(EntryStoreTest, ReleaseFreesTheBytesThatNobodyElseNeeds) {
  auto shared = bytes_of(100'000, 1);
  auto a = put_tree(*store_, flat("a"), {{"shared", shared}, {"own", bytes_of(100'000, 2)}, {"small", "x"}});
  auto b = put_tree(*store_, flat("b"), {{"shared", shared}, {"small", "x"}});
  ASSERT_TRUE(a && b);
  EXPECT_FALSE(store_->release(a->entry_id)) << "only retired entries are released";
  auto retired = store_->retire(a->entry_id, "test");
  ASSERT_TRUE(retired);
  EXPECT_TRUE(retired->retired);
  EXPECT_EQ(reader().find(flat("a")).error().code, Code::not_found);
  EXPECT_EQ(*read_blob(reader(), Digest::of(io::as_bytes(bytes_of(100'000, 2)))), bytes_of(100'000, 2));
  EXPECT_GE(store_->stats().retired_bytes, 100'000u);
  ASSERT_TRUE(store_->release(a->entry_id));
  ASSERT_TRUE(store_->release(a->entry_id)) << "again is fine";
  EXPECT_EQ(*read_tree(reader(), flat("b")), (Files{{"shared", shared}, {"small", "x"}}));
  EXPECT_EQ(store_->stats().blobs, 2u);
  ASSERT_TRUE(store_->retire(b->entry_id, "test"));
  ASSERT_EQ(store_->retired()->size(), 1u);
  ASSERT_TRUE(store_->release(b->entry_id));
  EXPECT_EQ(store_->stats().bytes, 0u);
  EXPECT_EQ(store_->stats().files, 0u);
  EXPECT_EQ(store_->stats().retired_bytes, 0u);
}

TEST_F(EntryStoreTest, AdoptGivesALargeFileASecondName) {
  std::filesystem::create_directories(paths_.staging("m"));
  auto file = paths_.staging("m") / "7";
  std::ofstream(file) << bytes_of(200'000, 1);
  auto intake = store_->begin();
  auto digest = intake->adopt(file);
  ASSERT_TRUE(digest) << why(digest);
  ManifestBuilder tree;
  tree.root_file(0644, 0, digest->size, *digest);
  ManifestHeader header;
  header.key = flat("a");
  header.kind = EntryKind::file;
  ASSERT_TRUE(intake->commit(tree, header, {}));
  struct stat staged {};
  struct stat kept {};
  ASSERT_EQ(::stat(file.c_str(), &staged), 0);
  ASSERT_EQ(::stat(paths_.blob(digest->hex()).c_str(), &kept), 0);
  EXPECT_EQ(staged.st_ino, kept.st_ino);
  EXPECT_EQ(kept.st_mode & 0777, 0400u);
  EXPECT_FALSE(intake->adopt(dir_ / "none"));
  auto other = store_->begin();
  EXPECT_EQ(other->adopt(dir_.path()).error().code, Code::invalid_argument);
}

TEST_F(EntryStoreTest, AdoptCopiesAFileThatHasOtherNames) {
  auto file = dir_ / "file";
  std::ofstream(file) << bytes_of(200'000, 1);
  std::filesystem::create_hard_link(file, dir_ / "other");
  auto intake = store_->begin();
  auto digest = intake->adopt(file);
  ASSERT_TRUE(digest);
  ManifestHeader header;
  header.key = flat("a");
  header.kind = EntryKind::opaque;
  header.artifact = *digest;
  ASSERT_TRUE(intake->commit_artifact(header, {}));
  std::ofstream(file) << "changed";
  EXPECT_EQ(*read_blob(reader(), *digest), bytes_of(200'000, 1));
}

TEST_F(EntryStoreTest, ADraftBecomesAnEntryWithTheSamePositions) {
  std::filesystem::create_directories(paths_.staging("m"));
  std::ofstream(paths_.staging("m") / "10") << "small";
  std::ofstream(paths_.staging("m") / "11") << bytes_of(100'000, 1);
  std::ofstream(paths_.staging("m") / "12");
  ManifestBuilder builder;
  builder.root_directory(0755, 1);
  auto sub = builder.add_directory(0, "sub", 0700, 2).value();
  ASSERT_TRUE(builder.add_file(sub, "large", 0755, 3, 1, StagedNumber{11}));
  ASSERT_TRUE(builder.add_file(0, "small", 0644, 4, 5, StagedNumber{10}));
  ASSERT_TRUE(builder.add_file(0, "empty", 0644, 4, 0, StagedNumber{12}));
  ASSERT_TRUE(builder.add_symlink(0, "link", "sub/large", 5));
  ManifestHeader header;
  header.key = flat("d");
  header.exit_code = 0;
  auto bytes = builder.finish(header);
  auto draft = ManifestView::parse(io::as_bytes(bytes));
  ASSERT_TRUE(draft);
  auto committed = store_->begin()->commit_draft(*draft, paths_.staging("m"), {.durable = true});
  ASSERT_TRUE(committed) << why(committed);
  auto manifest = reader().manifest(committed->entry_id);
  ASSERT_TRUE(manifest);
  const auto& view = (*manifest)->view();
  EXPECT_FALSE(view.is_draft());
  ASSERT_EQ(view.size(), draft->size());
  for (uint32_t position = 0; position < view.size(); ++position) {
    EXPECT_EQ(view.path(position), draft->path(position));
    EXPECT_EQ(view.at(position).mode, draft->at(position).mode);
    EXPECT_EQ(view.at(position).mtime_ns, draft->at(position).mtime_ns);
  }
  EXPECT_EQ(*read_tree(reader(), flat("d")),
            (Files{{"sub/large", bytes_of(100'000, 1)}, {"small", "small"}, {"empty", ""}}));
  EXPECT_EQ(view.at(*view.child(0, "link")).target, "sub/large");
  EXPECT_TRUE(std::filesystem::exists(paths_.staging("m") / "11")) << "staged files are their mount's to remove";
}

TEST_F(EntryStoreTest, AFailedDraftLosesNothing) {
  std::filesystem::create_directories(paths_.staging("m"));
  std::ofstream(paths_.staging("m") / "1") << bytes_of(100'000, 1);
  ManifestBuilder builder;
  builder.root_directory(0755, 1);
  ASSERT_TRUE(builder.add_file(0, "a", 0644, 4, 0, StagedNumber{1}));
  ASSERT_TRUE(builder.add_file(0, "b", 0644, 4, 0, StagedNumber{2}));
  ManifestHeader header;
  header.key = flat("d");
  auto bytes = builder.finish(header);
  auto draft = ManifestView::parse(io::as_bytes(bytes));
  EXPECT_FALSE(store_->begin()->commit_draft(*draft, paths_.staging("m"), {}));
  EXPECT_EQ(io::read_file(paths_.staging("m") / "1", 1 << 20).value(), bytes_of(100'000, 1));
  EXPECT_FALSE(reader().find(flat("d")));
}

TEST_F(EntryStoreTest, AnAttachedArtifactGoesFirst) {
  auto committed = put_tree(*store_, flat("a"), {{"f", "abc"}});
  ASSERT_TRUE(committed);
  {
    auto intake = store_->begin();
    auto digest = put_blob(*intake, bytes_of(100'000, 1));
    auto attached = store_->attach_artifact(committed->entry_id, *digest, *intake);
    ASSERT_TRUE(attached) << why(attached);
    auto entry = reader().find(flat("a"));
    ASSERT_TRUE(entry->artifact);
    EXPECT_EQ(*read_blob(reader(), *entry->artifact), bytes_of(100'000, 1));
  }
  store_.reset();
  options_.limits.max_bytes = 50'000;
  reopen();
  auto retired = store_->make_room(1000, 0);
  ASSERT_TRUE(retired);
  EXPECT_TRUE(retired->empty());
  auto entry = reader().find(flat("a"));
  ASSERT_TRUE(entry);
  EXPECT_FALSE(entry->artifact);
  EXPECT_LT(store_->stats().bytes, 1000u);
  EXPECT_FALSE(store_->attach_artifact(12345, Digest::of({}), *store_->begin()));
}

TEST_F(EntryStoreTest, TellsTheObserverInOrder) {
  std::vector<std::string> told;
  store_->observe({.committed = [&](const Entry& entry) { told.push_back("committed " + std::to_string(entry.id)); },
                   .retired =
                       [&](const Entry& entry, const std::string& reason) {
                         told.push_back("retired " + std::to_string(entry.id) + " " + reason);
                         // May call the store.
                         EXPECT_TRUE(store_->release(entry.id));
                       }});
  auto a = put_tree(*store_, flat("a"), {{"f", "1"}});
  auto b = put_tree(*store_, flat("a"), {{"f", "2"}});
  ASSERT_TRUE(store_->retire(b->entry_id, "why"));
  EXPECT_EQ(told,
            (std::vector<std::string>{
                "committed " + std::to_string(a->entry_id), "retired " + std::to_string(a->entry_id) + " replaced",
                "committed " + std::to_string(b->entry_id), "retired " + std::to_string(b->entry_id) + " why"}));
  EXPECT_EQ(store_->stats().files, 0u);
}

TEST_F(EntryStoreTest, ListsInPages) {
  for (int i = 0; i < 25; ++i) {
    ASSERT_TRUE(put_tree(*store_, flat("k" + std::to_string(100 + i)), {{"f", "1"}}));
  }
  ASSERT_TRUE(put_tree(*store_, {"", "nx", "k1"}, {{"f", "1"}}));
  std::string after;
  size_t seen = 0;
  while (true) {
    auto page = reader().list("", "flat", after, 10);
    ASSERT_TRUE(page);
    if (page->empty()) break;
    for (const auto& entry : *page) {
      EXPECT_LT(after, entry.key.name);
      after = entry.key.name;
      ++seen;
    }
  }
  EXPECT_EQ(seen, 25u);
}

TEST_F(EntryStoreTest, UsesAreWrittenAtMostEveryTenMinutes) {
  auto committed = put_tree(*store_, flat("a"), {{"f", "1"}});
  auto used = [&] { return StoreReader::open(paths_).value()->find(flat("a"))->last_used_ns; };
  auto start = clock_.unix_ns();
  clock_.move(std::chrono::minutes(9));
  ASSERT_TRUE(store_->touch(committed->entry_id));
  EXPECT_EQ(used(), start);
  clock_.move(std::chrono::minutes(12));
  ASSERT_TRUE(store_->touch(committed->entry_id));
  EXPECT_EQ(used(), clock_.unix_ns());
}

TEST_F(EntryStoreTest, StatsSurviveAReopen) {
  ASSERT_TRUE(put_tree(*store_, flat("a"), {{"f", bytes_of(100'000, 1)}, {"g", "x"}}));
  auto before = store_->stats();
  reopen();
  auto after = store_->stats();
  EXPECT_EQ(before.bytes, after.bytes);
  EXPECT_EQ(before.files, after.files);
  EXPECT_EQ(before.blobs, after.blobs);
  EXPECT_EQ(after.entries, 1u);
}

}  // namespace
}  // namespace hitfs
