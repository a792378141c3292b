// The real worker over the real Filesystem, store and daemon.
#include "fs/worker.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <random>

#include "tests/support/build_rounds.h"
#include "tests/support/real_mount_test.h"

namespace hitfs::testing {

namespace {

namespace stdfs = std::filesystem;

class WorkerTest : public RealMountTest {
 protected:
  void kill_after(uint64_t requests) {
    auto& read = mount_->slots().counters().read;
    uint64_t until = read + requests;
    eventually([&] { return read >= until; }, std::chrono::milliseconds(300));
    mount_->kill_worker();
    ASSERT_TRUE(mount_->start_worker()) << mount_->last_exit();
  }
  // An entry as tools make it: aside, then renamed into place.
  static void make_entry(const stdfs::path& root, const std::string& name, const std::string& text) {
    auto aside = root / (name + ".tmp");
    stdfs::create_directory(aside);
    std::ofstream(aside / "out.txt") << text;
    stdfs::create_symlink("out.txt", aside / "link");
    stdfs::permissions(aside / "out.txt", stdfs::perms(0755));
    stdfs::rename(aside, root / name);
  }
  static std::string text_in(const stdfs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
};

constexpr const char* kEntry = "0123456789abcdef";

}  // namespace

TEST(WorkerOptionsTest, ComeBackFromJson) {
  fs::WorkerOptions options;
  options.store.root = "/var/cache/hitfs";
  options.mount_name = "m";
  options.layout = {"flat", "[0-9]+", "marker:done", "ns"};
  options.scope = "main";
  options.uid = 7;
  options.gid = 8;
  options.lookup_patience = Milliseconds(150);
  options.mount_point = "/mnt";
  auto back = fs::WorkerOptions::from_json(options.to_json());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->to_json(), options.to_json());
  EXPECT_EQ(back->store.root, options.store.root);
  EXPECT_EQ(back->layout.complete, "marker:done");
  EXPECT_EQ(back->lookup_patience, Milliseconds(150));
  EXPECT_EQ(back->fuse_fd, -1);
  Json empty;
  empty["store"] = "/x";
  auto refused = fs::WorkerOptions::from_json(empty);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("mount_name"), std::string::npos);
}

TEST_F(WorkerTest, AnEntryIsKeptInTheStoreAndFoundByTheNextMount) {
  make_entry(mount_->root(), kEntry, "built");
  EXPECT_EQ(text_in(*mount_ / (std::string(kEntry) + "/link")), "built");
  ASSERT_TRUE(mount_->mount().unmount());
  EXPECT_EQ(mount_->wait_for_worker(), 0) << "it hands over and ends";
  mount_.reset();
  daemon_->end(SIGTERM);
  auto elsewhere = work_ / "moved";
  stdfs::rename(store_, elsewhere);
  stdfs::remove_all(elsewhere / "staging");
  DaemonProcess daemon(elsewhere);
  TestMount second(real_worker(elsewhere));
  ASSERT_EQ(second.failure(), "");
  EXPECT_EQ(text_in(second / (std::string(kEntry) + "/out.txt")), "built");
  EXPECT_EQ(stdfs::read_symlink(second / (std::string(kEntry) + "/link")), "out.txt");
  EXPECT_EQ(stdfs::status(second / (std::string(kEntry) + "/out.txt")).permissions(), stdfs::perms(0755));
  EXPECT_FALSE(stdfs::exists(second / "ffffffffffffffff"));
}

TEST_F(WorkerTest, WithoutADaemonWritesWaitAndMissesAreInstant) {
  daemon_->end(SIGKILL);
  EXPECT_FALSE(stdfs::exists(*mount_ / "ffffffffffffffff"));
  make_entry(mount_->root(), kEntry, "built");
  EXPECT_EQ(text_in(*mount_ / (std::string(kEntry) + "/out.txt")), "built");
  mount_->kill_worker();
  ASSERT_TRUE(mount_->start_worker());
  EXPECT_EQ(text_in(*mount_ / (std::string(kEntry) + "/out.txt")), "built");
  daemon_->start();
  ASSERT_TRUE(daemon_->ready());
  // Durable means that the daemon has it.
  EXPECT_TRUE(eventually([&] {
    UniqueFd root(::open(mount_->root().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return ::fsync(root.get()) == 0 && stdfs::exists(store_ / "manifests") && !stdfs::is_empty(store_ / "manifests");
  }));
  EXPECT_EQ(text_in(*mount_ / (std::string(kEntry) + "/out.txt")), "built");
}

TEST_F(WorkerTest, KillsOfTheWorkerFailNoCallAndSpoilNoByte) {
  auto stop = work_ / "stop";
  auto report = work_ / "report";
  std::vector<std::unique_ptr<TestProcess>> builds;
  for (int i = 0; i < 3; ++i) {
    auto root = *mount_ / ("build" + std::to_string(i));
    builds.push_back(std::make_unique<TestProcess>([=] { return build_until(root, stop, report); }));
  }
  std::mt19937 random(20261121);
  for (int kill = 0; kill < 40; ++kill) kill_after(random() % 120);
  std::ofstream{stop};
  for (auto& build : builds) EXPECT_EQ(build->wait(), 0) << text_in(report);
  auto counts = mount_->counts();
  EXPECT_EQ(counts.failed, 0u);
  EXPECT_EQ(counts.poisoned, 0u);
}

TEST_F(WorkerTest, KillsWhileEntriesAreCommittedLoseNone) {
  constexpr int kEntries = 30;
  auto name = [](int i) {
    auto text = std::to_string(i);
    return std::string(16 - text.size(), 'a') + text;
  };
  TestProcess maker([&] {
    for (int i = 0; i < kEntries; ++i) {
      make_entry(mount_->root(), name(i), "entry " + std::to_string(i));
      if (text_in(*mount_ / (name(i) + "/link")) != "entry " + std::to_string(i)) return 1;
    }
    return 0;
  });
  std::mt19937 random(5);
  for (int kill = 0; kill < 20; ++kill) kill_after(random() % 60);
  EXPECT_EQ(maker.wait(), 0);
  for (int i = 0; i < kEntries; ++i) {
    EXPECT_EQ(text_in(*mount_ / (name(i) + "/out.txt")), "entry " + std::to_string(i));
  }
  ASSERT_TRUE(mount_->mount().unmount());
  EXPECT_EQ(mount_->wait_for_worker(), 0);
  mount_.reset();
  TestMount second(real_worker(store_));
  ASSERT_EQ(second.failure(), "");
  for (int i = 0; i < kEntries; ++i) {
    EXPECT_EQ(text_in(second / (name(i) + "/link")), "entry " + std::to_string(i));
  }
}

TEST_F(WorkerTest, AWorkerThatCannotServeSaysSoByItsExitCode) {
  TestMount mount(real_worker(work_ / "no-store-here"));
  EXPECT_NE(mount.failure(), "");
  EXPECT_EQ(mount.last_exit(), 1);
}

}  // namespace hitfs::testing
