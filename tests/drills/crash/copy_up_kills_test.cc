// The mount worker is killed inside of copying a committed file up, at each of its system calls: the write that asked
// for the copy succeeds, once, and the committed file stays as it was.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>

#include "tests/drills/crash/shared_kill_page.h"
#include "tests/store/store_helpers.h"
#include "tests/support/real_processes.h"

namespace hitfs::testing {

namespace {

constexpr const char* kEntry = "0123456789abcdef";
constexpr size_t kChange = 1000;  // bytes

std::string committed_bytes(int number) {
  return bytes_of(static_cast<size_t>(1000 + number % 7 * 30'000), static_cast<unsigned>(number));
}

// The committed bytes with the change that the test makes in them.
std::string changed_bytes(int number) {
  auto bytes = committed_bytes(number);
  auto at = bytes.size() / 2;
  auto change = bytes_of(kChange, static_cast<unsigned>(number) + 100'000);
  if (bytes.size() < at + kChange) bytes.resize(at + kChange);
  return bytes.replace(at, kChange, change);
}

std::string read_all_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// 0, or which system call failed or what was wrong.
int change_file(const std::filesystem::path& file, int number) {
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return 1;
  auto change = bytes_of(kChange, static_cast<unsigned>(number) + 100'000);
  auto at = static_cast<off_t>(committed_bytes(number).size() / 2);
  if (::pwrite(fd.get(), change.data(), change.size(), at) != static_cast<ssize_t>(kChange)) return 2;
  // Not what the kernel remembers, but what the worker has.
  if (::fdatasync(fd.get()) < 0 || ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) != 0) return 3;
  std::string bytes(1 << 20, '\0');
  auto got = ::pread(fd.get(), bytes.data(), bytes.size(), 0);
  if (got < 0) return 4;
  bytes.resize(static_cast<size_t>(got));
  return bytes == changed_bytes(number) ? 0 : 5;
}

}  // namespace

class CopyUpKillsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    daemon_.emplace(paths_.root);
    ASSERT_TRUE(daemon_->ready());
    mount_.emplace(watched_worker());
    ASSERT_EQ(mount_->failure(), "");
  }
  void TearDown() override { mount_.reset(); }

  // The worker's command, below env(1), which sets what the tap needs.
  TestMount::WorkerCommand watched_worker() {
    auto worker = real_worker(paths_.root);
    auto environment = page_.environment(paths_.root);
    return [=](const TestMount& mount, int fuse_fd, int slots_fd, int ready_fd) {
      std::vector<std::string> command{"/usr/bin/env"};
      command.insert(command.end(), environment.begin(), environment.end());
      for (auto& word : worker(mount, fuse_fd, slots_fd, ready_fd)) command.push_back(std::move(word));
      return command;
    };
  }

  [[nodiscard]] std::filesystem::path place(int number) const {
    return *mount_ / (std::string(kEntry) + "/f" + std::to_string(number));
  }

  void commit_entry(int files) {
    auto aside = *mount_ / "tmp";
    std::filesystem::create_directory(aside);
    for (int i = 0; i < files; ++i) {
      std::ofstream(aside / ("f" + std::to_string(i)), std::ios::binary) << committed_bytes(i);
    }
    std::filesystem::rename(aside, *mount_ / kEntry);
    UniqueFd root(::open(mount_->root().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(::fsync(root.get()), 0);
  }

  // Changes a file; a worker that dies meanwhile is replaced.
  void change(int number) {
    TestProcess changing([this, number] { return change_file(place(number), number); });
    std::optional<int> ended;
    bool died = false;
    ASSERT_TRUE(eventually(
        [&] {
          died = page_->died_in != KillPage::kNone;
          if (!died) ended = changing.wait(std::chrono::milliseconds(1));
          return died || ended;
        },
        std::chrono::seconds(60)));
    if (died) {
      page_->armed = KillPage::kNone;
      ++kills_[page_->died_in];
      EXPECT_EQ(mount_->wait_for_worker(), -SIGKILL);
      ASSERT_TRUE(mount_->start_worker()) << mount_->last_exit();
      ended = changing.wait();
    }
    ASSERT_TRUE(ended) << "the change of file " << number << " hangs";
    EXPECT_EQ(*ended, 0) << "the change of file " << number << " failed";
  }

  // Of each file, what it must be now: the first `changed` ones have their change.
  void check(int files, int changed) {
    TestProcess reading([this, files, changed] {
      for (int i = 0; i < files; ++i) {
        if (read_all_of(place(i)) != (i < changed ? changed_bytes(i) : committed_bytes(i))) return i + 1;
      }
      return 0;
    });
    EXPECT_EQ(reading.wait(), 0) << "(the file's number + 1)";
  }

  TempDir work_;
  StorePaths paths_{work_ / "store"};
  SharedKillPage page_{work_.path()};
  std::optional<DaemonProcess> daemon_;
  std::optional<TestMount> mount_;
  std::map<uint32_t, int> kills_;
  std::mt19937 random_{std::random_device{}()};
};

TEST_F(CopyUpKillsTest, TheWriteSucceedsAndTheCommittedFileStays) {
  int wanted = std::getenv("HITFS_DRILL_LONG") != nullptr ? 200 : 24;
  int files = 3 * wanted, changed = 0;
  ASSERT_NO_FATAL_FAILURE(commit_entry(files));
  const auto copy_up = static_cast<uint32_t>(Phase::overlay_copy_up);
  while (kills_[copy_up] < wanted && changed < files && !HasFailure()) {
    if (page_->armed == KillPage::kNone) {
      page_->died_in = KillPage::kNone;
      page_->moment = static_cast<KillPage::Moment>(random_() % 3);
      page_->countdown = static_cast<int32_t>(1 + random_() % 6);
      page_->armed = copy_up;
    }
    ASSERT_NO_FATAL_FAILURE(change(changed));
    ++changed;
  }
  page_->armed = KillPage::kNone;
  check(files, changed);
  auto failed = mount_->counts().failed;
  EXPECT_EQ(failed, 0u);
  // What was committed: the store alone, without the mount.
  ASSERT_TRUE(mount_->mount().unmount());
  EXPECT_EQ(mount_->wait_for_worker(), 0);
  daemon_->end(SIGTERM);
  for (const auto& finding : check_store(paths_)) ADD_FAILURE() << finding;
  auto reader = StoreReader::open(paths_);
  ASSERT_TRUE(reader) << why(reader);
  auto tree = read_tree(**reader, flat(kEntry));
  ASSERT_TRUE(tree) << why(tree);
  for (int i = 0; i < files; ++i) EXPECT_EQ(tree->at("f" + std::to_string(i)), committed_bytes(i)) << i;
  std::printf(
      "[ drill    ] %d kills of the mount worker inside of an overlay copy-up: %d files changed, %d compared, %llu "
      "requests failed\n",
      kills_[copy_up], changed, files, static_cast<unsigned long long>(failed));
  EXPECT_EQ(kills_[copy_up], wanted);
}

}  // namespace hitfs::testing
