// Layout with completion by close, in a real mount: when is a file that is written in place an entry?
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <thread>

#include "store/store_reader.h"
#include "tests/support/real_mount_test.h"

namespace hitfs::testing {

namespace {

namespace stdfs = std::filesystem;

constexpr const char* kName = "0123456789abcdef";

class ClosesTest : public RealMountTest {
 protected:
  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    daemon_.emplace(store_);
    ASSERT_TRUE(daemon_->ready());
    mount_again();
  }
  void mount_again() {
    mount_.reset();
    mount_.emplace(real_worker(store_, 0, "close"), limit_);
    ASSERT_EQ(mount_->failure(), "");
  }

  UniqueFd open(const std::string& name = kName, int flags = O_WRONLY | O_CREAT | O_TRUNC) {
    UniqueFd file(::open((*mount_ / name).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_TRUE(file) << std::strerror(errno);
    return file;
  }
  // Whether it should tell of closes: it does so once, and this thread would wait for an answer.
  void let_the_kernel_ask() { open("notes").reset(); }
  static void write(const UniqueFd& file, std::string_view text) {
    ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  [[nodiscard]] Result<Entry> find(const std::string& name) const {
    auto reader = StoreReader::open({.root = store_}, {});
    if (!reader) return std::move(reader).error();
    return (*reader)->find({"", "flat", name});
  }
  bool becomes_an_entry(const std::string& name = kName) {
    return eventually([&] { return static_cast<bool>(find(name)); });
  }
  // After the mount, from another one: these bytes were handed over.
  [[nodiscard]] std::string text_elsewhere() {
    mount_again();
    std::ifstream file(*mount_ / kName);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

// inotify_init1 fails with EMFILE in this thread, and in what it starts.
void take_inotify_away() {
  std::array<sock_filter, 4> program{
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_inotify_init1, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EMFILE),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{static_cast<uint16_t>(program.size()), program.data()};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

}  // namespace

TEST_F(ClosesTest, AFileWrittenInPlaceIsAnEntry) {
  auto file = open();
  write(file, "bytes");
  file.reset();
  EXPECT_TRUE(becomes_an_entry());
  auto counts = mount_->counts();
  EXPECT_EQ(counts.of("RELEASE"), 0u) << "no request at a close";
  EXPECT_EQ(counts.of("OPEN"), 1u) << "the kernel asks once";
}

TEST_F(ClosesTest, TheLastOfSeveralWritersCompletesIt) {
  auto first = open();
  write(first, "first ");
  auto second = open(kName, O_WRONLY | O_APPEND);
  first.reset();
  // Closes are dealt with one after the other.
  open("00000000000000aa").reset();
  ASSERT_TRUE(becomes_an_entry("00000000000000aa"));
  EXPECT_FALSE(find(kName)) << "with the first's bytes alone";
  write(second, "second");
  second.reset();
  EXPECT_TRUE(becomes_an_entry());
  EXPECT_EQ(text_elsewhere(), "first second");
}

TEST_F(ClosesTest, AMappingIsAWriterToo) {
  auto file = open(kName, O_RDWR | O_CREAT);
  ASSERT_EQ(::ftruncate(file.get(), 4096), 0);
  void* mapped = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  file.reset();
  std::memset(mapped, 'm', 4096);
  ASSERT_EQ(::munmap(mapped, 4096), 0);
  EXPECT_TRUE(becomes_an_entry());
  EXPECT_EQ(text_elsewhere(), std::string(4096, 'm'));
}

TEST_F(ClosesTest, AnEntryRewrittenInPlaceIsANewOne) {
  write(open(), "old and longer");
  ASSERT_TRUE(becomes_an_entry());
  auto old = find(kName)->id;
  write(open(), "new");
  EXPECT_TRUE(eventually([&] {
    auto now = find(kName);
    return now && now->id != old;
  }));
  EXPECT_EQ(text_elsewhere(), "new");
}

TEST_F(ClosesTest, AWorkerThatWasKilledMissesNoClose) {
  let_the_kernel_ask();
  auto open_all_the_time = open("00000000000000aa");
  write(open_all_the_time, "begun, ");
  auto closed_meanwhile = open();
  write(closed_meanwhile, "whole");
  mount_->kill_worker();
  closed_meanwhile.reset();
  ASSERT_TRUE(mount_->start_worker());
  EXPECT_TRUE(becomes_an_entry());
  write(open_all_the_time, "and ended");
  open_all_the_time.reset();
  EXPECT_TRUE(becomes_an_entry("00000000000000aa"));
}

TEST_F(ClosesTest, ManyWorkersAreKilledUnderWriters) {
  // A worker is forked while files are open here, and their copies are closed before it can answer.
  let_the_kernel_ask();
  constexpr int kFiles = 50;
  constexpr uint64_t kRequestsBetween = 10;
  auto name_of = [](int i) { return "00000000000" + std::to_string(10000 + i); };
  std::atomic<bool> written = false;
  std::jthread writer([&] {
    for (int i = 0; i < kFiles; ++i) {
      auto file = open(name_of(i));
      write(file, "one ");
      write(file, std::to_string(i));
    }
    written = true;
  });
  auto& read = mount_->slots().counters().read;
  while (!written) {
    // Each gets on a little.
    uint64_t until = read + kRequestsBetween;
    eventually([&] { return written || read >= until; });
    mount_->kill_worker();
    ASSERT_TRUE(mount_->start_worker());
  }
  writer.join();
  for (int i = 0; i < kFiles; ++i) EXPECT_TRUE(becomes_an_entry(name_of(i))) << name_of(i);
}

TEST_F(ClosesTest, WhatWasClosedBeforeTheUnmountIsHandedOver) {
  constexpr int kFiles = 50;
  for (int i = 0; i < kFiles; ++i) write(open("00000000000000" + std::to_string(10 + i)), "bytes");
  ASSERT_TRUE(mount_->mount().unmount());
  EXPECT_EQ(mount_->wait_for_worker(), 0);
  for (int i = 0; i < kFiles; ++i) EXPECT_TRUE(find("00000000000000" + std::to_string(10 + i))) << i;
}

TEST_F(ClosesTest, WithoutTheWatchingProcessTheWorkerIsStartedAgain) {
  let_the_kernel_ask();
  auto file = open();
  write(file, "bytes");
  auto children =
      stdfs::path("/proc") / std::to_string(mount_->worker()) / "task" / std::to_string(mount_->worker()) / "children";
  std::ifstream list(children);
  for (pid_t child; list >> child;) {
    std::string comm;
    std::getline(std::ifstream(stdfs::path("/proc") / std::to_string(child) / "comm") >> std::ws, comm);
    if (comm == "hitfs-closes") ::kill(child, SIGKILL);
  }
  EXPECT_EQ(mount_->wait_for_worker(), 0);
  file.reset();
  ASSERT_TRUE(mount_->start_worker());
  EXPECT_TRUE(becomes_an_entry());
}

// As where others have used up fs.inotify.max_user_instances.
TEST_F(ClosesTest, WithoutInotifyClosesAreLookedFor) {
  mount_.reset();
  // In one thread: its end is the end of what it started.
  std::jthread([&] {
    take_inotify_away();
    mount_again();
    write(open(), "bytes");
    EXPECT_TRUE(becomes_an_entry());
    mount_.reset();
  }).join();
}

}  // namespace hitfs::testing
