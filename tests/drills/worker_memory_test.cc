// A mount worker with little memory: a tree of very many names is made, completed, listed and read through it, while
// the listener is asked by many at once.
#include <cstdio>
#include <fstream>
#include <thread>

#include "tests/drills/drill.h"
#include "tests/support/machine.h"
#include "tests/support/memory_cgroup.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr uint64_t kMemory = 128 << 20;
constexpr int kFolders = 100;
constexpr int kConnections = 256;

std::string text_of(int folder, int file) { return std::to_string(folder) + "/" + std::to_string(file); }

}  // namespace

class WorkerMemoryTest : public Drill {
 protected:
  void make_tree(int files) {
    auto beside = place_ / "tree.tmp";
    for (int folder = 0; folder < kFolders; ++folder) {
      auto inside = beside / std::to_string(folder);
      std::filesystem::create_directories(inside);
      for (int file = 0; file < files; ++file) write_file(inside / std::to_string(file), text_of(folder, file));
    }
    std::filesystem::rename(beside, tree_);
  }
  // Names that are listed; every 50th file is read.
  size_t walk() {
    size_t names = 0;
    for (const auto& one : std::filesystem::recursive_directory_iterator(tree_)) {
      if (++names % 50 != 0 || !one.is_regular_file()) continue;
      auto inside = std::filesystem::relative(one.path(), tree_).string();
      EXPECT_EQ(read_file(one.path()), inside);
    }
    return names;
  }
  // All of them are connected before the first asks.
  int ask_at_once() {
    std::vector<std::unique_ptr<RawConnection>> all;
    int right = 0;
    for (int i = 0; i < kConnections; ++i) all.push_back(std::make_unique<RawConnection>(port()));
    for (auto& one : all) {
      one->send("GET /v1/cache/" + nx_name(1) + " HTTP/1.1\r\nHost: localhost\r\n" + authorization() + "\r\n");
    }
    for (auto& one : all) right += one->read_reply().body == nx_artifact() ? 1 : 0;
    return right;
  }

  std::filesystem::path place_, tree_;
};

TEST_F(WorkerMemoryTest, ATreeOfManyNamesAndManyConnectionsFitInto128Mebibytes) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  if (auto why = MemoryCgroup::why_not()) GTEST_SKIP() << *why;
  const int files = std::getenv("HITFS_DRILL_LONG") != nullptr ? 1'000 : 30;
  start();
  place_ = mount("m");
  tree_ = place_ / flat_name(1);
  struct Limited {
    const char* name;
    pid_t pid;
    MemoryCgroup group;
  };
  Limited all[] = {{"worker", worker_pid(place_), {"worker", kMemory}},
                   {"daemon", daemon_pid(), {"daemon", kMemory}},
                   {"listener", listener_pid(), {"listener", kMemory}}};
  for (auto& one : all) ASSERT_TRUE(one.group.add(one.pid)) << one.name;

  ASSERT_EQ(put(nx_name(1), nx_artifact()).status, 200);
  make_tree(files);
  const auto staged = walk();
  ASSERT_EQ(hitfs("flush").code, 0);
  ASSERT_TRUE(eventually([&] { return status()["store"]["entries"].integer_or(0) >= 2; }, Milliseconds(120'000)));
  const auto committed = walk();
  const int answered = ask_at_once();
  const auto expected = static_cast<size_t>(kFolders) * static_cast<size_t>(files + 1);
  EXPECT_EQ(staged, expected);
  EXPECT_EQ(committed, expected);
  EXPECT_EQ(answered, kConnections);
  EXPECT_EQ(worker_pid(place_), all[0].pid);
  EXPECT_EQ(daemon_pid(), all[1].pid);
  EXPECT_EQ(listener_pid(), all[2].pid);
  printf("[ drill    ] %zu names made, listed and listed again as an entry; %d connections at once\n", expected,
         answered);
  for (auto& one : all) {
    EXPECT_EQ(one.group.kills(), 0u) << one.name;
    printf("[ drill    ] %-8s at most %llu MiB of its own, %llu MiB of 128 with its files' pages\n", one.name,
           static_cast<unsigned long long>(memory_of(one.pid, "VmHWM") >> 10),
           static_cast<unsigned long long>(one.group.peak_bytes() >> 20));
  }
}

}  // namespace hitfs::testing
