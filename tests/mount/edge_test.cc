// The FUSE edge with a real kernel: every request that build tools send (facts: nx.md 2.5), over a DiskFilesystem that
// decides nothing, and over the real Filesystem with store and daemon.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <thread>

#include "store/base/unique_fd.h"
#include "tests/support/read_all.h"
#include "tests/support/real_processes.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

namespace stdfs = std::filesystem;

bool write_all(const stdfs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  return file.good();
}

std::string pattern(size_t size, unsigned seed) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 2654435761u + seed) >> 13);
  return text;
}

std::string described(const fs::RequestCounts& counts) {
  std::string text;
  for (const auto& [operation, times] : counts.by_operation) text += operation + "=" + std::to_string(times) + " ";
  return text;
}

// Over the DiskFilesystem, whose names misbehave as asked.
class EdgeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    mount_.emplace(TestMount::disk_worker());
    ASSERT_EQ(mount_->failure(), "");
  }
  std::optional<TestMount> mount_;
};

// Over both.
enum class Behind { disk, store };
class ProgramsTest : public ::testing::TestWithParam<Behind> {
 protected:
  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    if (GetParam() == Behind::store) {
      daemon_.emplace(work_ / "store");
      ASSERT_TRUE(daemon_->ready());
      mount_.emplace(real_worker(work_ / "store"));
    } else {
      mount_.emplace(TestMount::disk_worker(1));
    }
    ASSERT_EQ(mount_->failure(), "");
  }
  void TearDown() override { mount_.reset(); }
  TempDir work_;
  std::optional<DaemonProcess> daemon_;
  std::optional<TestMount> mount_;
};
INSTANTIATE_TEST_SUITE_P(Behind, ProgramsTest, ::testing::Values(Behind::disk, Behind::store),
                         [](const auto& one) { return one.param == Behind::disk ? "Disk" : "Store"; });

// A tree of `directories` with `files` each; returns its size in files.
int make_tree(const stdfs::path& root, int directories, int files, size_t bytes) {
  stdfs::create_directory(root);
  for (int d = 0; d < directories; ++d) {
    auto folder = root / ("d" + std::to_string(d));
    stdfs::create_directory(folder);
    for (int f = 0; f < files; ++f) write_all(folder / ("f" + std::to_string(f)), pattern(bytes, d * 1000 + f));
  }
  return directories * files;
}

size_t read_tree(const stdfs::path& root) {
  size_t bytes = 0;
  for (const auto& entry : stdfs::recursive_directory_iterator(root)) {
    if (entry.is_symlink()) {
      bytes += stdfs::read_symlink(entry.path()).native().size();
    } else if (entry.is_regular_file()) {
      bytes += read_all(entry.path()).size();
    }
  }
  return bytes;
}

int sqlite_writer(const stdfs::path& path, int rows, int writer) {
  sqlite3* db = nullptr;
  if (sqlite3_open(path.c_str(), &db) != SQLITE_OK) return 1;
  sqlite3_busy_timeout(db, 20'000);
  int failures = sqlite3_exec(db, "PRAGMA journal_mode=WAL", nullptr, nullptr, nullptr) != SQLITE_OK;
  failures += sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS t(w, n)", nullptr, nullptr, nullptr) != SQLITE_OK;
  for (int row = 0; row < rows; ++row) {
    auto sql = "INSERT INTO t VALUES(" + std::to_string(writer) + "," + std::to_string(row) + ")";
    failures += sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK;
  }
  sqlite3_close(db);
  return failures == 0 ? 0 : 2;
}

std::string sqlite_text(const stdfs::path& path, const std::string& sql) {
  sqlite3* db = nullptr;
  std::string text;
  auto take = [](void* into, int, char** values, char**) {
    *static_cast<std::string*>(into) = values[0] != nullptr ? values[0] : "";
    return 0;
  };
  if (sqlite3_open(path.c_str(), &db) == SQLITE_OK) sqlite3_exec(db, sql.c_str(), take, &text, nullptr);
  sqlite3_close(db);
  return text;
}

}  // namespace

TEST_P(ProgramsTest, FilesDirectoriesAndLinksGoThrough) {
  auto& mount = *mount_;
  ASSERT_TRUE(stdfs::create_directory(mount / "d"));
  ASSERT_TRUE(write_all(mount / "d/file", "hello"));
  EXPECT_EQ(read_all(mount / "d/file"), "hello");
  stdfs::create_symlink("d/file", mount / "link");
  EXPECT_EQ(read_all(mount / "link"), "hello");
  EXPECT_EQ(stdfs::read_symlink(mount / "link"), "d/file");

  stdfs::permissions(mount / "d/file", stdfs::perms(0750));
  EXPECT_EQ(stdfs::status(mount / "d/file").permissions(), stdfs::perms(0750));
  timespec times[2] = {{1'000'000'000, 5}, {1'100'000'000, 123'456'789}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (mount / "d/file").c_str(), times, 0), 0);
  struct stat info {};
  ASSERT_EQ(::stat((mount / "d/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mtim.tv_sec, 1'100'000'000);
  EXPECT_EQ(info.st_mtim.tv_nsec, 123'456'789);

  stdfs::rename(mount / "d", mount / "e");
  EXPECT_EQ(read_all(mount / "e/file"), "hello");
  EXPECT_FALSE(stdfs::exists(mount / "d"));
  EXPECT_EQ(::rmdir((mount / "e").c_str()), -1);
  EXPECT_EQ(errno, ENOTEMPTY);
  EXPECT_EQ(stdfs::remove_all(mount / "e"), 2u);
  EXPECT_FALSE(stdfs::exists(mount / "e"));
}

TEST_P(ProgramsTest, SyncsAndAsksForSpace) {
  auto& mount = *mount_;
  UniqueFd file(::open((mount / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_TRUE(file);
  ASSERT_EQ(::write(file.get(), "abc", 3), 3);
  EXPECT_EQ(::fsync(file.get()), 0);
  UniqueFd directory(::open(mount.root().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(directory);
  EXPECT_EQ(::fsync(directory.get()), 0);
  struct statvfs space {};
  ASSERT_EQ(::statvfs(mount.root().c_str(), &space), 0);
  EXPECT_GT(space.f_bavail * space.f_bsize, uint64_t{1} << 40);
  EXPECT_EQ(mount.counts().of("FSYNCDIR"), 1u);
}

TEST_P(ProgramsTest, AShorterFileWrittenOverALongerOneIsTheShorterOne) {
  auto& mount = *mount_;
  ASSERT_TRUE(write_all(mount / "term", pattern(100'000, 1)));
  EXPECT_EQ(read_all(mount / "term").size(), 100'000u);
  ASSERT_TRUE(write_all(mount / "term", "short"));
  EXPECT_EQ(read_all(mount / "term"), "short");
  EXPECT_EQ(stdfs::file_size(mount / "term"), 5u);
  // A truncation without a write arrives as well.
  UniqueFd file(::open((mount / "term").c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  ASSERT_TRUE(file);
  EXPECT_EQ(read_all(mount / "term"), "");
}

TEST_P(ProgramsTest, MappedFilesAreReadAndWritten) {
  auto& mount = *mount_;
  const size_t size = 3 * 4096 + 100;
  ASSERT_TRUE(write_all(mount / "mapped", pattern(size, 3)));
  UniqueFd file(::open((mount / "mapped").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file);
  auto* bytes = static_cast<char*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
  ASSERT_NE(bytes, MAP_FAILED);
  EXPECT_EQ(std::string(bytes, size), pattern(size, 3));
  std::copy_n("written", 7, bytes + 4096);
  ASSERT_EQ(::msync(bytes, size, MS_SYNC), 0);
  ::munmap(bytes, size);
  file.reset();
  EXPECT_EQ(read_all(mount / "mapped").substr(4096, 7), "written");
}

TEST_P(ProgramsTest, AFileUnlinkedWhileOpenKeepsItsBytes) {
  auto& mount = *mount_;
  UniqueFd file(::open((mount / "open").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_TRUE(file);
  ASSERT_EQ(::write(file.get(), "kept", 4), 4);
  ASSERT_EQ(::unlink((mount / "open").c_str()), 0);
  EXPECT_FALSE(stdfs::exists(mount / "open"));
  ASSERT_EQ(::pwrite(file.get(), "K", 1, 0), 1);
  char text[5] = {};
  EXPECT_EQ(::pread(file.get(), text, 4, 0), 4);
  EXPECT_STREQ(text, "Kept");
}

TEST_P(ProgramsTest, LocksWorkBetweenProcesses) {
  auto& mount = *mount_;
  UniqueFd file(::open((mount / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_TRUE(file);
  ASSERT_EQ(::flock(file.get(), LOCK_EX), 0);
  TestProcess other([&] {
    UniqueFd same(::open((mount / "lock").c_str(), O_RDWR | O_CLOEXEC));
    return ::flock(same.get(), LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK ? 0 : 1;
  });
  EXPECT_EQ(other.wait(), 0);
}

TEST_P(ProgramsTest, SqliteInWalModeTakesThreeWriters) {
  auto& mount = *mount_;
  auto path = mount / "test.db";
  ASSERT_EQ(sqlite_writer(path, 1, 0), 0);
  TestProcess one([&] { return sqlite_writer(path, 40, 1); });
  TestProcess two([&] { return sqlite_writer(path, 40, 2); });
  TestProcess three([&] { return sqlite_writer(path, 40, 3); });
  EXPECT_EQ(one.wait(), 0);
  EXPECT_EQ(two.wait(), 0);
  EXPECT_EQ(three.wait(), 0);
  EXPECT_EQ(sqlite_text(path, "SELECT count(*) FROM t"), "121");
  EXPECT_EQ(sqlite_text(path, "PRAGMA integrity_check"), "ok");
}

TEST_P(ProgramsTest, WhatIsNeverMadeHereIsRefused) {
  auto& mount = *mount_;
  EXPECT_EQ(::mkfifo((mount / "fifo").c_str(), 0644), -1);
  EXPECT_EQ(errno, EPERM);
  ASSERT_TRUE(write_all(mount / "file", "x"));
  EXPECT_EQ(::link((mount / "file").c_str(), (mount / "hard").c_str()), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::mknod((mount / "plain").c_str(), S_IFREG | 0644, 0), 0);
  EXPECT_TRUE(stdfs::is_regular_file(mount / "plain"));
  char value[16];
  EXPECT_EQ(::getxattr((mount / "file").c_str(), "user.x", value, sizeof(value)), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
}

TEST_P(ProgramsTest, SetuidBitsNeverStay) {
  auto& mount = *mount_;
  ASSERT_TRUE(write_all(mount / "tool", "x"));
  ASSERT_EQ(::chmod((mount / "tool").c_str(), 06755), 0);
  struct stat info {};
  ASSERT_EQ(::stat((mount / "tool").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0755u);
}

TEST_P(ProgramsTest, RenameKnowsItsFlags) {
  auto& mount = *mount_;
  ASSERT_TRUE(write_all(mount / "a", "a"));
  ASSERT_TRUE(write_all(mount / "b", "b"));
  auto a = (mount / "a").string();
  auto b = (mount / "b").string();
  EXPECT_EQ(::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_NOREPLACE), -1);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_WHITEOUT), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(::rename(a.c_str(), b.c_str()), 0);
  EXPECT_EQ(read_all(mount / "b"), "a");
}

TEST_P(ProgramsTest, ListingsHoldEveryNameOnceWithDots) {
  auto& mount = *mount_;
  stdfs::create_directory(mount / "many");
  for (int i = 0; i < 1500; ++i) ASSERT_TRUE(write_all(mount / ("many/name-" + std::to_string(i)), ""));
  std::map<std::string, int> seen;
  auto* stream = ::opendir((mount / "many").c_str());
  ASSERT_NE(stream, nullptr);
  while (auto* entry = ::readdir(stream)) ++seen[entry->d_name];
  ::closedir(stream);
  EXPECT_EQ(seen.size(), 1502u);
  EXPECT_EQ(seen["."], 1);
  EXPECT_EQ(seen[".."], 1);
  EXPECT_EQ(seen["name-1499"], 1);
}

TEST_P(ProgramsTest, AFileLargerThanOneRequestIsWhole) {
  auto& mount = *mount_;
  auto text = pattern((7 << 20) + 123, 9);
  ASSERT_TRUE(write_all(mount / "large", text));
  EXPECT_TRUE(read_all(mount / "large") == text);
  EXPECT_GE(mount.counts().of("WRITE"), 8u);
}

// Requests that somebody waited for: nobody waits for a forget.
uint64_t questions(TestMount& mount) {
  auto counts = mount.counts();
  return counts.total - counts.of("FORGET") - counts.of("BATCH_FORGET");
}

// The kernel gives up some of what it knows whenever its memory is wanted elsewhere; one of a few passes finds it
// whole.
uint64_t fewest_in_warm_passes(TestMount& mount, const stdfs::path& tree) {
  uint64_t fewest = UINT64_MAX;
  for (int pass = 0; pass < 10 && fewest > 0; ++pass) {
    auto before = questions(mount);
    read_tree(tree);
    fewest = std::min(fewest, questions(mount) - before);
  }
  return fewest;
}

// The counts that fs/README.md promises.
TEST_P(ProgramsTest, SavingAFileTakesFourRequests) {
  auto& mount = *mount_;
  stdfs::create_directory(mount / "saved");
  ASSERT_TRUE(write_all(mount / "saved/first", "x"));  // the questions that are asked once per connection
  auto before = questions(mount);
  const int files = 50;
  auto text = pattern(30'000, 5);
  for (int i = 0; i < files; ++i) {
    UniqueFd file(
        ::open((mount / ("saved/" + std::to_string(i))).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  auto used = questions(mount) - before;
  EXPECT_LE(used, 4u * files) << described(mount.counts());
  RecordProperty("requests_per_saved_file_x100", static_cast<int>(used * 100 / files));
}

TEST_F(EdgeTest, FirstPassTakesOneRequestPerFileAndTwoPerDirectoryAndAWarmOneNone) {
  auto& mount = *mount_;
  const int directories = 20;
  int files = make_tree(mount / "tree", directories, 25, 3000);
  stdfs::create_symlink("d0/f0", mount / "tree/link");
  // A second mount of the same nodes, so that the kernel knows nothing of them.
  TestMount fresh([&](const TestMount&, int fuse_fd, int slots_fd, int ready_fd) {
    return TestMount::disk_worker()(mount, fuse_fd, slots_fd, ready_fd);
  });
  ASSERT_EQ(fresh.failure(), "");
  auto start = questions(fresh);
  auto requests = [&] {
    auto now = questions(fresh);
    return now - std::exchange(start, now);
  };
  size_t bytes = read_tree(fresh / "tree");
  EXPECT_EQ(bytes, static_cast<size_t>(files) * 3000 + 5);
  constexpr uint64_t kOnce = 8;  // per connection: OPEN, OPENDIR, FLUSH, the root, and the like
  EXPECT_LE(requests(), static_cast<uint64_t>(files + 1 + 2 * (directories + 1)) + kOnce);
  // Reading made the access times stale, so the first stat() of each directory asks once more.
  EXPECT_EQ(read_tree(fresh / "tree"), bytes);
  EXPECT_LE(requests(), static_cast<uint64_t>(directories + 2));
  EXPECT_EQ(fewest_in_warm_passes(fresh, fresh / "tree"), 0u) << described(fresh.counts());
  for (const auto& [operation, times] : fresh.counts().by_operation) {
    RecordProperty(operation, static_cast<int>(times));
  }
}

TEST_P(ProgramsTest, ACommittedEntryIsReadWithFewRequestsAndThenWithNone) {
  if (GetParam() != Behind::store) GTEST_SKIP() << "entries are the store's";
  auto& mount = *mount_;
  const int directories = 20;
  int files = make_tree(mount / "tree.tmp", directories, 25, 3000);
  stdfs::rename(mount / "tree.tmp", mount / "0123456789abcdef");
  UniqueFd root(::open(mount.root().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::fsync(root.get()), 0);  // committed
  root.reset();
  ASSERT_TRUE(mount.mount().unmount());
  ASSERT_EQ(mount.wait_for_worker(), 0);  // one worker at a time has the name of a mount
  daemon_->end(SIGTERM);                  // its events make the kernel forget names, and ask for them again
  TestMount fresh(real_worker(work_ / "store"));
  ASSERT_EQ(fresh.failure(), "");
  auto start = questions(fresh);
  auto requests = [&] {
    auto now = questions(fresh);
    return now - std::exchange(start, now);
  };
  auto entry = fresh / "0123456789abcdef";
  EXPECT_EQ(read_tree(entry), static_cast<size_t>(files) * 3000);
  constexpr uint64_t kOnce = 8;
  EXPECT_LE(requests(), static_cast<uint64_t>(files + 2 * (directories + 1)) + kOnce) << described(fresh.counts());
  read_tree(entry);
  EXPECT_LE(requests(), static_cast<uint64_t>(directories + 2));
  EXPECT_EQ(fewest_in_warm_passes(fresh, entry), 0u) << described(fresh.counts());
  for (const auto& [operation, times] : fresh.counts().by_operation) RecordProperty(operation, static_cast<int>(times));
}

TEST_F(EdgeTest, ReferencesGoDownWhenTheKernelForgets) {
  auto& mount = *mount_;
  make_tree(mount / "tree", 3, 10, 10);
  read_tree(mount / "tree");
  auto counted = [&] {
    uint64_t sum = 0;
    for (const auto& reference : mount.slots().references()) sum += reference.count;
    return sum;
  };
  EXPECT_GE(counted(), 34u);
  stdfs::remove_all(mount / "tree");  // what is gone is forgotten at once
  EXPECT_TRUE(eventually([&] { return counted() == 0; })) << counted();
}

TEST_F(EdgeTest, LookupsRunBesideOneThatWaits) {
  auto& mount = *mount_;
  ASSERT_TRUE(write_all(mount / "there", "x"));
  TestProcess waiting([&] { return ::access((mount / "parked-1").c_str(), F_OK) < 0 && errno == ENOENT ? 0 : 1; });
  ASSERT_TRUE(eventually([&] { return mount.counts().parked == 1; }));
  TestProcess beside([&] { return ::access((mount / "absent").c_str(), F_OK) < 0 && errno == ENOENT ? 0 : 1; });
  EXPECT_EQ(beside.wait(std::chrono::seconds(10)), 0);
  mount.signal_worker(SIGUSR1);
  EXPECT_EQ(waiting.wait(std::chrono::seconds(10)), 0);
  EXPECT_TRUE(eventually([&] { return mount.counts().parked == 0; }));  // sent a moment before the slot is free
}

TEST_F(EdgeTest, ManyMoreLookupsWaitThanThereAreLargeSlots) {
  auto& mount = *mount_;
  const int waiting = 100;
  TestProcess crowd([&] {
    std::vector<std::thread> threads;
    std::atomic<int> missed = 0;
    for (int i = 0; i < waiting; ++i) {
      threads.emplace_back([&, i] {
        auto path = mount / ("parked-" + std::to_string(i));
        if (::access(path.c_str(), F_OK) < 0 && errno == ENOENT) ++missed;
      });
    }
    for (auto& thread : threads) thread.join();
    return missed == waiting ? 0 : 1;
  });
  ASSERT_TRUE(eventually([&] { return mount.counts().parked == waiting; })) << mount.counts().parked;
  EXPECT_FALSE(stdfs::exists(mount / "absent"));  // still served
  mount.signal_worker(SIGUSR1);
  EXPECT_EQ(crowd.wait(std::chrono::seconds(20)), 0);
}

TEST_F(EdgeTest, AnInterruptEndsAWaitingLookup) {
  auto& mount = *mount_;
  TestProcess waiting([&] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGINT, &action, nullptr);
    return ::access((mount / "parked-1").c_str(), F_OK) < 0 && errno == EINTR ? 0 : 1;
  });
  ASSERT_TRUE(eventually([&] { return mount.counts().parked == 1; }));
  waiting.signal(SIGINT);
  EXPECT_EQ(waiting.wait(std::chrono::seconds(10)), 0);
}

TEST_F(EdgeTest, AKilledProgramDoesNotWaitForItsLookup) {
  auto& mount = *mount_;
  TestProcess waiting([&] { return ::access((mount / "parked-1").c_str(), F_OK); });
  ASSERT_TRUE(eventually([&] { return mount.counts().parked == 1; }));
  waiting.signal(SIGINT);  // Ctrl-C without a handler
  EXPECT_EQ(waiting.wait(std::chrono::seconds(10)), -SIGINT);
}

TEST_F(EdgeTest, AnAnswerFromAnotherThreadArrives) {
  auto& mount = *mount_;
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(::access((mount / ("late-" + std::to_string(i))).c_str(), F_OK), -1);
    EXPECT_EQ(errno, ENOENT);
  }
  EXPECT_TRUE(eventually([&] { return mount.slots().slots_in_use().empty(); }));
}

TEST_F(EdgeTest, AnExceptionIsOneFailedRequest) {
  auto& mount = *mount_;
  EXPECT_EQ(::access((mount / "throw-1").c_str(), F_OK), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_TRUE(write_all(mount / "after", "x"));
  EXPECT_EQ(mount.counts().failed, 1u);
}

}  // namespace hitfs::testing
