// The filesystem on the real store: what the daemon does with a draft is what the mount expects.
#include <gtest/gtest.h>

#include "store/base/io.h"
#include "store/entry_store.h"
#include "tests/fs/mount_harness.h"

namespace hitfs::fs {
namespace {

// Commits in this process, as the daemon does; has no remotes.
class StoreOnlyDaemon final : public DaemonClient {
 public:
  StoreOnlyDaemon(EntryStore& store, StorePaths paths) : store_(store), paths_(std::move(paths)) {}

  void fetch(const Key&, Milliseconds, std::function<void(FetchReply)> done) override {
    done({FetchOutcome::absent, 0, ""});
  }
  Result<CommitReply> commit(const std::string& front, const std::string& draft, bool durable,
                             const Deadline&) override {
    auto bytes = io::read_file(paths_.staging(front) / draft, 64 << 20);
    if (!bytes) return std::move(bytes).error();
    auto view = ManifestView::parse(io::as_bytes(*bytes));
    if (!view) return std::move(view).error();
    CommitOptions options;
    options.durable = durable;
    auto committed = store_.begin()->commit_draft(*view, paths_.staging(front), options);
    if (!committed) return std::move(committed).error();
    results.lock()->push_back(committed->result);
    return CommitReply{committed->entry_id, committed->retired.has_value()};
  }
  Result<StoreReply> store(const std::string&, const std::string&, const Key&, const Deadline&) override {
    return Error{Code::unavailable, ""};
  }
  Result<EventBatch> events(const std::string&, const std::string&, uint64_t, const Deadline&) override {
    return EventBatch{};
  }
  Status released(const std::string&, const std::vector<uint64_t>&, const Deadline&) override { return Ok{}; }
  Status uses(const std::string&, const std::vector<Use>&, const Deadline&) override { return Ok{}; }
  Result<Json> call(const std::string&, const std::string&, const Json&, const Deadline&) override { return Json(); }

  Guarded<std::vector<CommitResult>> results;

 private:
  EntryStore& store_;
  StorePaths paths_;
};

// Speaks to one filesystem after another through the harness' short forms.
class RealStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    paths_ = StorePaths{dir_ / "store"};
    auto store = EntryStore::open(paths_, {});
    ASSERT_TRUE(store) << store.error().message;
    store_ = *std::move(store);
    auto reader = StoreReader::open(paths_);
    ASSERT_TRUE(reader) << reader.error().message;
    reader_ = *std::move(reader);
    daemon_ = std::make_unique<StoreOnlyDaemon>(*store_, paths_);
    LayoutOptions layout;
    layout.pattern = "[0-9a-f]{4}";
    layout_ = *make_layout(layout);
    mount();
  }
  void mount() {
    filesystem_.reset();
    FilesystemOptions options;
    options.store = paths_;
    options.mount_name = "real";
    auto opened = Filesystem::open(options, *layout_, *reader_, *daemon_, references_, notifier_);
    ASSERT_TRUE(opened) << opened.error().message;
    filesystem_ = *std::move(opened);
  }
  Number make(Number parent, const std::string& name, const std::string& bytes) {
    Pending<NodeReply> made;
    filesystem_->create({}, parent, name, 0755, made.reply());
    Number number = made.get()->attributes.number;
    Pending<size_t> written;
    if (!bytes.empty()) {
      filesystem_->write({}, number, io::as_bytes(bytes), 0, written.reply());
      EXPECT_TRUE(written.get());
    }
    AttributeChange time{.mtime_ns = 12'345'678'901};
    Pending<AttributesReply> changed;
    filesystem_->set_attributes({}, number, time, changed.reply());
    EXPECT_TRUE(changed.get());
    return number;
  }
  Number make_directory(Number parent, const std::string& name) {
    Pending<NodeReply> made;
    filesystem_->make_directory({}, parent, name, 0750, made.reply());
    return made.get()->attributes.number;
  }
  Number at(Number parent, const std::string& name) {
    Pending<NodeReply> found;
    filesystem_->lookup({}, parent, name, found.reply());
    auto node = found.get();
    return node ? node->attributes.number : 0;
  }
  std::string read(Number number) {
    std::string bytes;
    filesystem_->read({}, number, 1 << 20, 0,
                      Reply<std::span<const std::byte>>(
                          [&](const std::span<const std::byte>& got) { bytes = io::as_text(got); },
                          [&](FsError error) { bytes = "error " + std::to_string(static_cast<int>(error)); }));
    return bytes;
  }
  void complete(const std::string& from, const std::string& to) {
    Pending<Ok> renamed;
    filesystem_->rename({}, kRootNumber, from, kRootNumber, to, Filesystem::RenameMode::replace, renamed.reply());
    ASSERT_TRUE(renamed.get());
    Pending<Ok> synced;
    filesystem_->sync_directory({}, kRootNumber, synced.reply());
    ASSERT_TRUE(synced.get());
    ASSERT_EQ(filesystem_->uncommitted(), 0u);
  }
  void build(const std::string& name) {
    Number top = make_directory(kRootNumber, name);
    make(top, "large", std::string(200'000, 'L'));
    make(top, "small", "s");
    make(top, "empty", "");
    make_directory(top, "no files");
    Pending<NodeReply> link;
    filesystem_->make_symlink({}, top, "link", "small", link.reply());
    ASSERT_TRUE(link.get());
  }

  testing::TempDir dir_;
  StorePaths paths_;
  FakeReferences references_;
  FakeNotifier notifier_;
  std::unique_ptr<EntryStore> store_;
  std::unique_ptr<StoreReader> reader_;
  std::unique_ptr<StoreOnlyDaemon> daemon_;
  std::unique_ptr<Layout> layout_;
  std::unique_ptr<Filesystem> filesystem_;
};

TEST_F(RealStoreTest, ATreeIsAnEntryAndReadsTheSameUnderOldAndNewNumbers) {
  build("tmp");
  Number old_large = at(at(kRootNumber, "tmp"), "large");
  ASSERT_NO_FATAL_FAILURE(complete("tmp", "00aa"));
  Number top = at(kRootNumber, "00aa");
  EXPECT_TRUE(is_committed(top));
  EXPECT_EQ(read(old_large), std::string(200'000, 'L'));
  EXPECT_EQ(read(at(top, "large")), std::string(200'000, 'L'));
  EXPECT_EQ(read(at(top, "small")), "s");
  EXPECT_EQ(read(at(top, "empty")), "");
  EXPECT_TRUE(is_committed(at(top, "no files")));
  Pending<AttributesReply> attributes;
  filesystem_->get_attributes({}, at(top, "empty"), attributes.reply());
  EXPECT_EQ(attributes.get()->attributes.mtime_ns, 12'345'678'901);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(paths_.staging("real")), {}), 1) << "names.log alone";
  mount();
  EXPECT_EQ(read(at(at(kRootNumber, "00aa"), "large")), std::string(200'000, 'L'));
}

TEST_F(RealStoreTest, AFileAndAnEmptyFileAreEntries) {
  make(kRootNumber, "f", "content");
  ASSERT_NO_FATAL_FAILURE(complete("f", "00ab"));
  make(kRootNumber, "e", "");
  ASSERT_NO_FATAL_FAILURE(complete("e", "00ac"));
  EXPECT_EQ(read(at(kRootNumber, "00ab")), "content");
  EXPECT_EQ(read(at(kRootNumber, "00ac")), "");
  EXPECT_TRUE(is_committed(at(kRootNumber, "00ac")));
}

TEST_F(RealStoreTest, TheSameFileAgainIsTheSameEntryAndOtherBytesReplaceIt) {
  make(kRootNumber, "f", std::string(100'000, 'a'));
  ASSERT_NO_FATAL_FAILURE(complete("f", "00ad"));
  Number first = at(kRootNumber, "00ad");
  make(kRootNumber, "f", std::string(100'000, 'a'));
  ASSERT_NO_FATAL_FAILURE(complete("f", "00ad"));
  EXPECT_EQ(at(kRootNumber, "00ad"), first);
  make(kRootNumber, "f", "other");
  ASSERT_NO_FATAL_FAILURE(complete("f", "00ad"));
  EXPECT_NE(at(kRootNumber, "00ad"), first);
  EXPECT_EQ(read(at(kRootNumber, "00ad")), "other");
  EXPECT_EQ(*daemon_->results.lock(),
            (std::vector{CommitResult::committed, CommitResult::same, CommitResult::committed}));
}

}  // namespace
}  // namespace hitfs::fs
