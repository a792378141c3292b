// What programs in a mount see when its worker dies: nothing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "fs/slots/stall_detector.h"
#include "tests/support/build_rounds.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

namespace stdfs = std::filesystem;

class ShiftedClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime now() const override { return system_clock().now() + ahead; }
  [[nodiscard]] int64_t unix_ns() const override { return system_clock().unix_ns(); }
  Milliseconds ahead{0};
};

constexpr Milliseconds kParkedLimit{7000};

class SurvivalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    mount_.emplace(TestMount::disk_worker(1));
    ASSERT_EQ(mount_->failure(), "");
  }
  // Lets the worker carry out `requests` more, then kills it and starts another.
  void kill_after(uint64_t requests) {
    auto& read = mount_->slots().counters().read;
    uint64_t until = read + requests;
    eventually([&] { return read >= until; }, std::chrono::seconds(2));
    mount_->kill_worker();
    ASSERT_TRUE(mount_->start_worker()) << mount_->last_exit();
  }
  // A handler runs for a LOOKUP.
  bool carries_out_a_lookup() {
    auto& slots = mount_->slots();
    auto used = slots.slots_in_use();
    return std::any_of(used.begin(), used.end(), [&](fs::SlotIndex slot) {
      return slots.request(slot).opcode == FUSE_LOOKUP &&
             slots.descriptor(slot).state == fs::format::SlotState::executing;
    });
  }
  int lookup(const std::string& name) const { return ::access((*mount_ / name).c_str(), F_OK) == 0 ? 0 : errno; }
  std::optional<TestMount> mount_;
};

// The letter of proc(5): 'T' for stopped.
char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name;
  char state = '?';
  file >> number >> name >> state;
  return state;
}

}  // namespace

TEST_F(SurvivalTest, KillsUnderLoadFailNoCallAndSpoilNoByte) {
  auto& mount = *mount_;
  auto stop = mount.work() / "stop";
  auto report = mount.work() / "report";
  std::vector<std::unique_ptr<TestProcess>> builds;
  for (int i = 0; i < 4; ++i) {
    auto root = mount / ("build" + std::to_string(i));
    builds.push_back(std::make_unique<TestProcess>([=] { return build_until(root, stop, report); }));
  }
  std::mt19937 random(20261121);
  for (int kill = 0; kill < 60; ++kill) kill_after(random() % 120);
  std::ofstream{stop};
  for (auto& build : builds) {
    std::ifstream told(report);
    EXPECT_EQ(build->wait(), 0) << std::string{std::istreambuf_iterator<char>(told), {}};
  }
  auto counts = mount.counts();
  EXPECT_EQ(counts.workers, 61u);
  EXPECT_EQ(counts.failed, 0u);
  EXPECT_EQ(counts.poisoned, 0u);
  EXPECT_GT(counts.settled + counts.resent, 0u);
  RecordProperty("settled", static_cast<int>(counts.settled));
  RecordProperty("resent", static_cast<int>(counts.resent));
}

TEST_F(SurvivalTest, AWorkerKilledAtItsStartLeavesNothingWorse) {
  auto& mount = *mount_;
  ASSERT_TRUE(stdfs::create_directory(mount / "d"));
  mount.kill_worker();
  TestProcess waiting([&] { return lookup("d"); });  // cached or not, it must not fail
  std::mt19937 random(7);
  for (int i = 0; i < 40; ++i) {
    auto ready = mount.spawn_worker();
    auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 8000);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    mount.kill_worker();
  }
  ASSERT_TRUE(mount.start_worker());
  EXPECT_EQ(waiting.wait(), 0);
  EXPECT_EQ(lookup("absent"), ENOENT);
}

TEST_F(SurvivalTest, TheFirstWorkerMayDieDuringInit) {
  // The worker of the fixture has done INIT; here each of the first ones is killed around it.
  std::mt19937 random(11);
  for (int i = 0; i < 15; ++i) {
    bool first = true;
    TestMount mount([&](const TestMount& self, int fuse_fd, int slots_fd, int ready_fd) {
      if (!std::exchange(first, false)) return TestMount::disk_worker()(self, fuse_fd, slots_fd, ready_fd);
      return std::vector<std::string>{"/bin/false"};
    });
    auto ready = mount.spawn_worker();
    auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 8000);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    mount.kill_worker();
    ASSERT_TRUE(mount.start_worker());
    EXPECT_EQ(::access((mount / "absent").c_str(), F_OK), -1);
    EXPECT_EQ(errno, ENOENT);
  }
}

TEST_F(SurvivalTest, WaitingLookupsGoOnWithTheNextWorker) {
  auto& mount = *mount_;
  TestProcess one([&] { return lookup("parked-1"); });
  TestProcess two([&] { return lookup("parked-2"); });
  ASSERT_TRUE(eventually([&] { return mount.counts().parked == 2; }));
  for (int i = 0; i < 6; ++i) kill_after(0);  // not their fault, however often
  EXPECT_EQ(mount.counts().parked, 2u);
  mount.signal_worker(SIGUSR1);
  EXPECT_EQ(one.wait(), ENOENT);
  EXPECT_EQ(two.wait(), ENOENT);
}

TEST_F(SurvivalTest, AnInterruptReachesALookupOfADeadWorker) {
  auto& mount = *mount_;
  TestProcess waiting([&] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGINT, &action, nullptr);
    return lookup("parked-1");
  });
  ASSERT_TRUE(eventually([&] { return mount.counts().parked == 1; }));
  mount.kill_worker();
  waiting.signal(SIGINT);
  ASSERT_TRUE(mount.start_worker());
  EXPECT_EQ(waiting.wait(), EINTR);
}

TEST_F(SurvivalTest, AnOrderlyEndLeavesTheMountAndWhoWaits) {
  auto& mount = *mount_;
  TestProcess waiting([&] { return lookup("parked-1"); });
  ASSERT_TRUE(eventually([&] { return mount.counts().parked == 1; }));
  EXPECT_EQ(mount.end_worker(SIGTERM), 0);
  TestProcess later([&] { return lookup("absent"); });
  ASSERT_TRUE(mount.start_worker());
  EXPECT_EQ(later.wait(), ENOENT);
  EXPECT_EQ(mount.counts().parked, 1u);
  mount.signal_worker(SIGUSR1);
  EXPECT_EQ(waiting.wait(), ENOENT);
}

TEST_F(SurvivalTest, ARequestThatCrashesTwoWorkersIsGivenUp) {
  auto& mount = *mount_;
  TestProcess victim([&] { return lookup("crash-1"); });
  EXPECT_EQ(mount.wait_for_worker(), -SIGABRT);
  EXPECT_FALSE(mount.start_worker());  // carries it out once more
  EXPECT_EQ(mount.last_exit(), -SIGABRT);
  ASSERT_TRUE(mount.start_worker());
  EXPECT_EQ(victim.wait(), EIO);
  EXPECT_EQ(lookup("absent"), ENOENT);
  EXPECT_EQ(mount.counts().poisoned, 1u);
}

TEST_F(SurvivalTest, AStalledRequestIsFoundAndGivenUpAtTheSecondTime) {
  auto& mount = *mount_;
  ShiftedClock clock;
  fs::StallDetector detector(mount.slots(), mount.mount().descriptor(), kParkedLimit, clock);
  constexpr Milliseconds kLimit{5000};
  TestProcess victim([&] { return lookup("stall-1"); });
  for (uint64_t dead_workers : {0, 1}) {
    ASSERT_TRUE(eventually([&] { return mount.counts().settled == dead_workers && carries_out_a_lookup(); }));
    EXPECT_LT(detector.stalled_for(), kLimit);
    clock.ahead += Milliseconds(6000);
    EXPECT_GE(detector.stalled_for(), kLimit);
    detector.blame(kLimit);
    mount.kill_worker();
    detector.worker_replaced();
    if (dead_workers == 0) mount.spawn_worker();  // stalls again, while it settles
  }
  ASSERT_TRUE(mount.start_worker());
  EXPECT_EQ(victim.wait(), EIO);
}

TEST_F(SurvivalTest, AWorkerThatReadsNoMoreIsFound) {
  auto& mount = *mount_;
  ShiftedClock clock;
  fs::StallDetector detector(mount.slots(), mount.mount().descriptor(), kParkedLimit, clock);
  mount.signal_worker(SIGSTOP);
  ASSERT_TRUE(eventually([&] { return state_of(mount.worker()) == 'T'; }));
  TestProcess victims([&] {
    std::vector<std::thread> threads;
    std::atomic<int> answered = 0;
    for (int i = 0; i < 12; ++i) {
      threads.emplace_back([&, i] { answered += lookup("absent" + std::to_string(i)) == ENOENT ? 1 : 0; });
    }
    for (auto& thread : threads) thread.join();
    return answered == 12 ? 0 : 1;
  });
  ASSERT_TRUE(eventually([&] {
    clock.ahead += Milliseconds(100);
    return detector.stalled_for() > Milliseconds(5000);
  }));
  mount.kill_worker();
  detector.worker_replaced();
  ASSERT_TRUE(mount.start_worker());
  EXPECT_EQ(victims.wait(), 0);
  EXPECT_TRUE(eventually([&] { return detector.stalled_for() == Milliseconds(0); }));  // the last slot is freed soon
}

TEST_F(SurvivalTest, ParkedLookupsAndAnIdleWorkerAreNoStall) {
  auto& mount = *mount_;
  ShiftedClock clock;
  fs::StallDetector detector(mount.slots(), mount.mount().descriptor(), kParkedLimit, clock);
  TestProcess waiting([&] { return lookup("parked-1"); });
  ASSERT_TRUE(eventually([&] { return mount.counts().parked == 1; }));
  static_cast<void>(detector.stalled_for());
  clock.ahead = kParkedLimit;
  EXPECT_LT(detector.stalled_for(), Milliseconds(5000));
  mount.signal_worker(SIGUSR1);
  EXPECT_EQ(waiting.wait(), ENOENT);
}

// One that waits holds its directory: everybody else waits in the kernel, and no other request comes.
TEST_F(SurvivalTest, AParkedLookupThatIsNeverAnsweredIsAStallAndNobodysFault) {
  auto& mount = *mount_;
  ShiftedClock clock;
  fs::StallDetector detector(mount.slots(), mount.mount().descriptor(), kParkedLimit, clock);
  TestProcess waiting([&] { return lookup("parked-1"); });
  ASSERT_TRUE(eventually([&] { return mount.counts().parked == 1; }));
  for (int i = 0; i < 3; ++i) {  // however often
    static_cast<void>(detector.stalled_for());
    clock.ahead += kParkedLimit + Milliseconds(6000);
    EXPECT_GE(detector.stalled_for(), Milliseconds(5000));
    detector.blame(Milliseconds(5000));
    mount.kill_worker();
    ASSERT_TRUE(mount.start_worker());
    detector.worker_replaced();
    EXPECT_EQ(detector.stalled_for(), Milliseconds(0)) << "the next one has its time";
  }
  EXPECT_EQ(mount.counts().parked, 1u);
  EXPECT_EQ(mount.counts().poisoned, 0u);
  mount.signal_worker(SIGUSR1);
  EXPECT_EQ(waiting.wait(), ENOENT);
}

TEST_F(SurvivalTest, GivingAMountUpFailsCallsInsteadOfHangingThem) {
  auto& mount = *mount_;
  TestProcess parked([&] { return lookup("parked-1"); });
  TestProcess stalled([&] { return lookup("stall-1"); });
  ASSERT_TRUE(eventually([&] { return mount.slots().slots_in_use().size() == 2; }));
  mount.kill_worker();
  TestProcess queued([&] { return lookup("absent"); });
  mount.slots().fail_all(mount.mount().descriptor());
  EXPECT_EQ(parked.wait(), ENOENT);
  EXPECT_EQ(stalled.wait(), ENOENT);
  mount.mount().abort();
  auto code = queued.wait();
  EXPECT_TRUE(code == ECONNABORTED || code == ENOTCONN) << code.value_or(-1);
  EXPECT_EQ(lookup("more"), ENOTCONN);
  EXPECT_TRUE(mount.mount().unmount());
  EXPECT_EQ(lookup("more"), ENOENT);
}

TEST_F(SurvivalTest, AForgottenNameIsAskedForAgain) {
  auto& mount = *mount_;
  std::ofstream(mount / "known") << "x";
  EXPECT_EQ(lookup("known"), 0);
  auto before = mount.counts().of("LOOKUP");
  EXPECT_EQ(lookup("known"), 0);
  EXPECT_EQ(mount.counts().of("LOOKUP"), before) << "the kernel knows it";
  mount.signal_worker(SIGUSR2);
  EXPECT_TRUE(eventually([&] { return lookup("known") == 0 && mount.counts().of("LOOKUP") > before; }));
}

// The kernel makes whoever forgets a name wait, uninterruptibly, for a LOOKUP in its directory.
TEST_F(SurvivalTest, AWorkerCanBeKilledWhileItsInvalidationWaits) {
  auto& mount = *mount_;
  std::ofstream(mount / "known") << "x";
  TestProcess waiting([&] { return lookup("parked-1"); });
  ASSERT_TRUE(eventually([&] { return mount.counts().parked == 1; }));
  std::ifstream children("/proc/" + std::to_string(mount.worker()) + "/task/" + std::to_string(mount.worker()) +
                         "/children");
  pid_t notify = 0;
  ASSERT_TRUE(children >> notify);
  mount.signal_worker(SIGUSR2);
  ASSERT_TRUE(eventually([&] { return state_of(notify) == 'D'; })) << state_of(notify);
  mount.kill_worker();
  ASSERT_TRUE(mount.start_worker());
  EXPECT_EQ(mount.counts().parked, 1u);
  mount.signal_worker(SIGUSR1);
  EXPECT_EQ(waiting.wait(), ENOENT);
  EXPECT_TRUE(eventually([&] { return state_of(notify) == '?' || state_of(notify) == 'Z'; }))
      << "it ends with its worker";
}

TEST_F(SurvivalTest, AWorkerEndsWhenItsMountIsGone) {
  auto& mount = *mount_;
  ASSERT_TRUE(mount.mount().unmount());
  EXPECT_EQ(mount.wait_for_worker(), 0);
}

}  // namespace hitfs::testing
