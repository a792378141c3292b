// How programs use what is committed, over the real Filesystem, store and daemon: many at once, mapped, and deleted
// while it is open.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "store/base/unique_fd.h"
#include "tests/support/read_all.h"
#include "tests/support/real_processes.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {
namespace {

namespace stdfs = std::filesystem;

// 16 hex digits: a maker and the number of its entry.
std::string name_of(int maker, int number) {
  char text[17];
  std::snprintf(text, sizeof(text), "%08x%08x", maker, number);
  return text;
}

// What the entry `name` holds; small enough for a pack, or large enough for a file of its own.
std::string content_of(const std::string& name, int part) {
  std::string text;
  while (text.size() < (part == 2 ? 100'000u : 500u)) text += name + " part " + std::to_string(part) + "\n";
  return text;
}

constexpr int kParts = 3;

void save(const stdfs::path& root, const std::string& name) {
  const auto aside = root / (name + ".tmp");
  stdfs::create_directory(aside);
  for (int part = 0; part < kParts; ++part) std::ofstream(aside / std::to_string(part)) << content_of(name, part);
  stdfs::rename(aside, root / name);
}

// Whether every entry that is there is there as a whole.
bool all_whole(const stdfs::path& root, int makers, int entries) {
  for (int maker = 0; maker < makers; ++maker) {
    for (int number = 0; number < entries; ++number) {
      const auto name = name_of(maker, number);
      if (!stdfs::exists(root / name)) continue;
      for (int part = 0; part < kParts; ++part) {
        if (read_all(root / name / std::to_string(part)) != content_of(name, part)) return false;
      }
    }
  }
  return true;
}

class EntryUseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    daemon_.emplace(work_ / "store");
    ASSERT_TRUE(daemon_->ready());
    mount_.emplace(real_worker(work_ / "store"));
    ASSERT_EQ(mount_->failure(), "");
  }
  void TearDown() override { mount_.reset(); }

  // Saves a file as an entry and returns when it is one.
  void save_committed(const std::string& name, const std::string& text) {
    std::ofstream(*mount_ / "saving") << text;
    stdfs::rename(*mount_ / "saving", *mount_ / name);
    UniqueFd root(::open(mount_->root().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(::fsync(root.get()), 0);
  }
  // Ends the mount, and makes another of the same store.
  void remount() {
    ASSERT_TRUE(mount_->mount().unmount());
    ASSERT_EQ(mount_->wait_for_worker(), 0);
    mount_.emplace(real_worker(work_ / "store"));
    ASSERT_EQ(mount_->failure(), "");
  }

  TempDir work_;
  std::optional<DaemonProcess> daemon_;
  std::optional<TestMount> mount_;
};

constexpr const char* kEntry = "0123456789abcdef";

TEST_F(EntryUseTest, EightProcessesSaveAndReadAtOnce) {
  constexpr int kMakers = 8, kEntries = 12;
  std::vector<std::unique_ptr<TestProcess>> makers;
  for (int maker = 0; maker < kMakers; ++maker) {
    makers.push_back(std::make_unique<TestProcess>([&, maker] {
      for (int number = 0; number < kEntries; ++number) {
        save(mount_->root(), name_of(maker, number));
        if (!all_whole(mount_->root(), kMakers, kEntries)) return 1;
      }
      return 0;
    }));
  }
  for (auto& maker : makers) EXPECT_EQ(maker->wait(), 0);
  EXPECT_TRUE(all_whole(mount_->root(), kMakers, kEntries));
  EXPECT_EQ(std::distance(stdfs::directory_iterator(mount_->root()), {}), kMakers * kEntries);
  remount();
  EXPECT_EQ(std::distance(stdfs::directory_iterator(mount_->root()), {}), kMakers * kEntries);
  EXPECT_TRUE(all_whole(mount_->root(), kMakers, kEntries));
}

TEST_F(EntryUseTest, AMappedWriteToAnEntryStaysInItsMount) {
  const std::string text(3 * 4096 + 100, 'e');
  save_committed(kEntry, text);
  UniqueFd file(::open((*mount_ / kEntry).c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file);
  auto* bytes = static_cast<char*>(::mmap(nullptr, text.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
  ASSERT_NE(bytes, MAP_FAILED);
  EXPECT_TRUE(text == std::string_view(bytes, text.size()));
  std::copy_n("mapped", 6, bytes + 4096);
  EXPECT_EQ(::msync(bytes, text.size(), MS_SYNC), 0);
  ::munmap(bytes, text.size());
  file.reset();
  EXPECT_EQ(read_all(*mount_ / kEntry).substr(4095, 8), "emappede");
  remount();
  EXPECT_TRUE(read_all(*mount_ / kEntry) == text);
}

TEST_F(EntryUseTest, ALongerEntryRewrittenShorterIsTheShorterOne) {
  save_committed(kEntry, std::string(200'000, 'l'));
  EXPECT_EQ(read_all(*mount_ / kEntry).size(), 200'000u);
  std::ofstream(*mount_ / kEntry, std::ios::trunc) << "short";
  EXPECT_EQ(stdfs::file_size(*mount_ / kEntry), 5u);
  EXPECT_EQ(read_all(*mount_ / kEntry), "short");
}

TEST_F(EntryUseTest, AnEntryDeletedWhileItIsOpenAndMappedKeepsItsBytes) {
  const std::string text(200'000, 'k');
  save_committed(kEntry, text);
  UniqueFd file(::open((*mount_ / kEntry).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file);
  auto* bytes = static_cast<char*>(::mmap(nullptr, text.size(), PROT_READ, MAP_SHARED, file.get(), 0));
  ASSERT_NE(bytes, MAP_FAILED);
  ASSERT_TRUE(stdfs::remove(*mount_ / kEntry));
  EXPECT_FALSE(stdfs::exists(*mount_ / kEntry));
  EXPECT_TRUE(text == std::string_view(bytes, text.size()));
  std::string read(text.size(), '\0');
  EXPECT_EQ(::pread(file.get(), read.data(), read.size(), 0), static_cast<ssize_t>(read.size()));
  EXPECT_TRUE(read == text);
  ::munmap(bytes, text.size());
}

}  // namespace
}  // namespace hitfs::testing
