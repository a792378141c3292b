// Listings while names come and go, in pieces, and over workers.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/fs/mount_harness.h"

namespace hitfs::fs {
namespace {

std::string hex(int i) {
  char text[8];
  std::snprintf(text, sizeof(text), "%04x", i);
  return text;
}

std::vector<std::string> sorted(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  return names;
}

// Lists page by page and calls `between` after each.
std::vector<std::string> list_with(MountHarness& mount, Number number, size_t page,
                                   const std::function<void(const std::vector<std::string>&)>& between) {
  std::vector<std::string> names;
  uint64_t offset = 0;
  for (int pages = 0; pages < 10000; ++pages) {
    auto listed = mount.list_page(number, offset, page);
    if (listed.empty()) return names;
    for (const auto& entry : listed) {
      if (entry.name != "." && entry.name != "..") names.push_back(entry.name);
    }
    offset = listed.back().next_offset;
    between(names);
  }
  ADD_FAILURE() << "the listing never ends";
  return names;
}

TEST(MountListingTest, DotsComeFirstAndNameTheParent) {
  MountHarness mount;
  auto entry = mount.store.commit(MountHarness::key("00aa"), {{"d/e/f", "x"}});
  Number inner = mount.number_at("00aa/d/e");
  auto listed = mount.list_page(inner, 0, 10);
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0].name, ".");
  EXPECT_EQ(listed[0].node.attributes.number, inner);
  EXPECT_EQ(listed[1].name, "..");
  EXPECT_EQ(listed[1].node.attributes.number, mount.number_at("00aa/d"));
  EXPECT_EQ(mount.list_page(entry.id, 0, 10)[1].node.attributes.number, kRootNumber);
  Number staged = mount.make_directory(kRootNumber, "s")->attributes.number;
  EXPECT_EQ(mount.list_page(staged, 0, 10)[1].node.attributes.number, kRootNumber);
}

TEST(MountListingTest, ShowsStagingAndEntriesEachOnce) {
  MountHarness mount;
  for (int i = 0; i < 300; ++i) mount.store.commit(MountHarness::key(hex(i)), {{"", "x"}});
  for (int i = 0; i < 300; ++i) mount.write_file(kRootNumber, "local" + std::to_string(i), "");
  mount.store.commit(Key{"", "other", "0001"}, {{"", "x"}});
  for (size_t page : {1, 7, 256, 1000}) {
    auto names = mount.list(kRootNumber, page, page == 7);
    EXPECT_EQ(names.size(), 600u);
    EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 600u);
  }
}

TEST(MountListingTest, EntriesAtTheTopAreNotHandedOut) {
  MountHarness mount;
  auto entry = mount.store.commit(MountHarness::key("00aa"), {{"", "x"}});
  auto listed = mount.list_page(kRootNumber, 0, 10, true);
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_FALSE(listed[2].node.handed_out);
  EXPECT_EQ(listed[2].node.attributes.number, entry.id);
  EXPECT_EQ(listed[2].node.attributes.type, FileType::file);
  EXPECT_EQ(mount.references.count(entry.id), 0u);
}

TEST(MountListingTest, ShadowedAndWhitedOutNamesAreNotShownTwiceOrAtAll) {
  MountHarness mount;
  mount.daemon.hold_commits(true);
  mount.store.commit(MountHarness::key("0001"), {{"", "x"}});
  mount.store.commit(MountHarness::key("0002"), {{"", "x"}});
  mount.store.commit(MountHarness::key("0003"), {{"", "x"}});
  mount.complete_file("0002", "newer");
  ASSERT_TRUE(mount.unlink(kRootNumber, "0003"));
  EXPECT_EQ(sorted(mount.list(kRootNumber, 1)), (std::vector<std::string>{"0001", "0002"}));
  mount.daemon.hold_commits(false);
  mount.wait_until_committed();
  EXPECT_EQ(sorted(mount.list(kRootNumber, 1)), (std::vector<std::string>{"0001", "0002"}));
}

TEST(MountListingTest, NamesThatStayAreShownOnceWhileOthersComeAndGo) {
  for (bool restart : {false, true}) {
    MountHarness mount;
    for (int i = 0; i < 40; ++i) mount.store.commit(MountHarness::key(hex(i * 16)), {{"", "x"}});
    Number directory = mount.make_directory(kRootNumber, "d")->attributes.number;
    for (int i = 0; i < 40; ++i) {
      mount.write_file(kRootNumber, "stays" + std::to_string(i), "");
      mount.write_file(directory, "stays" + std::to_string(i), "");
    }
    for (Number number : {kRootNumber, directory}) {
      int round = 0;
      auto names = list_with(mount, number, 3, [&](const std::vector<std::string>&) {
        mount.write_file(number, "new" + std::to_string(++round), "");
        if (round > 1) {
          ASSERT_TRUE(mount.unlink(number, "new" + std::to_string(round - 1)));
        }
        if (number == kRootNumber) mount.store.commit(MountHarness::key(hex(round * 37 % 40 * 16 + 1)), {{"", "x"}});
        if (restart && round % 5 == 0) mount.restart();
      });
      std::map<std::string, int> seen;
      for (const auto& name : names) ++seen[name];
      for (const auto& [name, count] : seen) EXPECT_EQ(count, 1) << name;
      for (int i = 0; i < 40; ++i) {
        EXPECT_EQ(seen["stays" + std::to_string(i)], 1) << i;
        if (number == kRootNumber) {
          EXPECT_EQ(seen[hex(i * 16)], 1) << i;
        }
      }
    }
  }
}

TEST(MountListingTest, RenamingWhatIsListedEnds) {
  MountHarness mount;
  for (int i = 0; i < 20; ++i) mount.write_file(kRootNumber, "f" + std::to_string(i), "");
  size_t done = 0;
  list_with(mount, kRootNumber, 2, [&](const std::vector<std::string>& names) {
    for (; done < names.size(); ++done) {
      ASSERT_TRUE(mount.rename(kRootNumber, names[done], kRootNumber, names[done] + "x"));
    }
  });
  EXPECT_EQ(done, 20u);
}

TEST(MountListingTest, DeletingWhatIsListedReachesEverything) {
  MountHarness mount;
  auto entry = mount.store.commit(MountHarness::key("00aa"), {{"a", ""}, {"b", ""}, {"c", ""}, {"d", ""}, {"e", ""}});
  for (int i = 0; i < 5; ++i) mount.write_file(entry.id, "own" + std::to_string(i), "");
  size_t done = 0;
  list_with(mount, entry.id, 3, [&](const std::vector<std::string>& names) {
    for (; done < names.size(); ++done) {
      ASSERT_TRUE(mount.unlink(entry.id, names[done]));
    }
  });
  EXPECT_EQ(done, 10u);
  EXPECT_TRUE(mount.remove_directory(kRootNumber, "00aa"));
}

TEST(MountListingTest, ANameThatBecomesAnEntryMeanwhileIsShownOnce) {
  MountHarness mount;
  for (int i = 0; i < 10; ++i) mount.store.commit(MountHarness::key(hex(i)), {{"", "x"}});
  for (int i = 0; i < 10; ++i) mount.write_file(kRootNumber, "local" + std::to_string(i), "");
  mount.daemon.hold_commits(true);
  for (int i = 0; i < 5; ++i) mount.complete_file(hex(100 + i), "y");
  bool committed = false;
  auto names = list_with(mount, kRootNumber, 4, [&](const std::vector<std::string>& so_far) {
    if (committed || so_far.size() < 3) return;
    committed = true;
    mount.daemon.hold_commits(false);
    mount.wait_until_committed();
  });
  EXPECT_EQ(names.size(), 25u);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 25u);
  EXPECT_EQ(mount.list(kRootNumber).size(), 25u);
}

// The kernel goes on with a listing that the worker before began, and takes the rest of it from another one's answers.
TEST(MountListingTest, ANameThatBecameAnEntryKeepsItsPlaceOverWorkers) {
  MountHarness mount;
  for (int i = 0; i < 10; ++i) mount.store.commit(MountHarness::key(hex(i)), {{"", "x"}});
  for (int i = 0; i < 10; ++i) mount.write_file(kRootNumber, "local" + std::to_string(i), "");
  for (int i = 0; i < 5; ++i) mount.complete_file(hex(100 + i), "y");
  mount.wait_until_committed();
  auto before = mount.list(kRootNumber);
  ASSERT_EQ(before.size(), 25u);
  mount.restart();
  EXPECT_EQ(mount.list(kRootNumber), before);
  auto names = list_with(mount, kRootNumber, 4, [&](const std::vector<std::string>&) { mount.restart(); });
  EXPECT_EQ(names, before);
  mount.remount();
  EXPECT_EQ(sorted(mount.list(kRootNumber)), sorted(before));
}

TEST(MountListingTest, AListingGoesOnAfterTheEntryWhereItStoppedIsGone) {
  MountHarness mount;
  std::vector<Entry> entries;
  for (int i = 0; i < 20; ++i) entries.push_back(mount.store.commit(MountHarness::key(hex(i)), {{"", "x"}}));
  auto first = mount.list_page(kRootNumber, 0, 7);
  mount.store.retire(entries[4].id);
  mount.event(DaemonEvent::Kind::retired, entries[4].key, entries[4].id);
  EXPECT_EQ(mount.fs().take_released(), std::vector<uint64_t>{entries[4].id});
  mount.store.release(entries[4].id);
  auto second = mount.list_page(kRootNumber, first.back().next_offset, 100);
  ASSERT_EQ(second.size(), 15u);
  EXPECT_EQ(second.front().name, hex(5));
}

TEST(MountListingTest, TheRootsTimeChangesWithEveryEntryThatComesOrGoes) {
  MountHarness mount;
  auto time = [&] { return mount.attributes(kRootNumber)->attributes.mtime_ns; };
  auto entry = mount.store.commit(MountHarness::key("00aa"), {{"", "x"}});
  auto before = time();
  mount.event(DaemonEvent::Kind::committed, entry.key, entry.id);
  auto committed = time();
  EXPECT_GT(committed, before);
  mount.store.retire(entry.id);
  mount.event(DaemonEvent::Kind::retired, entry.key, entry.id);
  EXPECT_GT(time(), committed);
}

TEST(MountListingTest, AHundredThousandEntriesStream) {
  // Only the index is asked: a listing opens no manifest and counts no reference.
  class ManyEntries final : public StoreReader {
   public:
    Result<Entry> find(const Key& key) override { return Error{Code::not_found, key.text()}; }
    Result<Entry> containing(uint64_t number) override { return entry(number - kFirstCommitted); }
    Result<std::vector<Entry>> list(const std::string&, const std::string&, const std::string& after,
                                    size_t limit) override {
      largest = std::max(largest, limit);
      std::vector<Entry> entries;
      uint64_t next = after.empty() ? 0 : std::stoull(after, nullptr, 16) + 1;
      for (; next < 100000 && entries.size() < limit; ++next) entries.push_back(entry(next));
      return entries;
    }
    Result<std::shared_ptr<const MappedManifest>> manifest(uint64_t) override {
      ADD_FAILURE() << "a manifest was opened";
      return Error{Code::corrupt, ""};
    }
    Result<size_t> read(const Digest&, std::span<std::byte>, uint64_t) override { return Error{Code::corrupt, ""}; }
    Result<Location> locate(const Digest&) override { return Error{Code::corrupt, ""}; }
    size_t largest = 0;

   private:
    static Entry entry(uint64_t i) {
      char name[16];
      std::snprintf(name, sizeof(name), "%08x", static_cast<unsigned>(i));
      Entry made;
      made.id = kFirstCommitted + i;
      made.key = Key{"", "flat", name};
      return made;
    }
  };
  MountHarness mount;
  ManyEntries many;
  LayoutOptions eight;
  eight.pattern = "[0-9a-f]{8}";
  auto layout = *make_layout(eight);
  auto opened = Filesystem::open(
      [&] {
        auto options = mount.options;
        options.mount_name = "many";
        return options;
      }(),
      *layout, many, mount.daemon, mount.references, mount.notifier);
  ASSERT_TRUE(opened);
  uint64_t offset = 0;
  size_t names = 0;
  while (true) {
    CollectingFiller filler(500, true);
    Pending<Ok> pending;
    (*opened)->read_directory({}, kRootNumber, offset, filler, pending.reply());
    ASSERT_TRUE(pending.get());
    if (filler.listed().empty()) break;
    names += filler.listed().size();
    offset = filler.listed().back().next_offset;
  }
  EXPECT_EQ(names, 100002u);
  EXPECT_LE(many.largest, 1000u);
}

}  // namespace
}  // namespace hitfs::fs
