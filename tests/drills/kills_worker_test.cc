// The worker of a mount is killed, or stops, while programs use the mount: no call fails, no byte is wrong. What a
// request does that brings down every worker: SurvivalTest.ARequestThatCrashesTwoWorkersIsGivenUp.
#include <fmt/core.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/drills/front_kills.h"
#include "tests/drills/mount_load.h"

namespace hitfs::testing {

namespace {

constexpr uid_t kNobody = 65534;
constexpr int kTreeFiles = 12;
constexpr int kRemoteEntries = 40;  // new ones in each round
constexpr unsigned kCallsBetween = 400;
// Beyond this it hangs. It takes the watchdog's 5 s, 7 s more when the worker has nothing but lookups that wait for the
// remote, a second until it is looked at, and the start of the next worker.
constexpr Milliseconds kReplaced{60'000};
constexpr auto kLongestCall = std::chrono::seconds(60);

std::string tree_file(int number) { return noise(60'000, static_cast<unsigned>(number)); }

// What a load and the mount's own counters say after one or many rounds.
struct Figures {
  int kills = 0, rounds = 0, during_calls = 0, during_start = 0, with_parked = 0;
  uint64_t calls = 0, failed = 0, bytes = 0, wrong = 0, found = 0, missed = 0;
  uint64_t settled = 0, resent = 0, poisoned = 0, io_errors = 0;
  int64_t longest_ms = 0;
  CallTally kinds;

  void add(const CallTally& tally, const RemoteTally& remote) {
    for (size_t i = 0; i < kCalls; ++i) kinds.kinds[i].made += tally.kinds[i].made.load();
    calls += tally.made();
    failed += tally.failed();
    bytes += tally.bytes_compared;
    wrong += tally.wrong_bytes;
    found += remote.found;
    missed += remote.missed;
    longest_ms = std::max(longest_ms, tally.longest_ns.load() / 1'000'000);
  }
  void add(const Json& device) {
    settled += static_cast<uint64_t>(device["settled"].integer_or(0));
    resent += static_cast<uint64_t>(device["resent"].integer_or(0));
    poisoned += static_cast<uint64_t>(device["poisoned"].integer_or(0));
    io_errors += static_cast<uint64_t>(device["failed"].integer_or(0));
  }
  void print(const std::string& title) const {
    say(fmt::format("{}: {} in {} mounts; {} while calls ran, {} of a worker that started, {} with parked lookups",
                    title, kills, rounds, during_calls, during_start, with_parked));
    say(fmt::format("  {} calls, {} failed; {} bytes compared, {} comparisons wrong; longest call {} ms", calls, failed,
                    bytes, wrong, longest_ms));
    say("  " + describe(kinds));
    say(fmt::format("  requests of dead workers: {} carried out again, {} stored replies sent, {} given up", settled,
                    resent, poisoned));
    say(fmt::format("  entries of the remote: {} found, {} misses", found, missed));
  }
};

// Makes /dev/fuse usable for every user, in mounts of this process alone; false where that is not allowed.
bool open_the_device(const std::filesystem::path& work) {
  if (::unshare(CLONE_NEWNS) < 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return false;
  auto devices = work / "devices", device = devices / "fuse";
  std::filesystem::create_directory(devices);
  return ::mount("devices", devices.c_str(), "tmpfs", 0, nullptr) == 0 &&
         ::mknod(device.c_str(), S_IFCHR | 0666, ::makedev(10, 229)) == 0 && ::chmod(device.c_str(), 0666) == 0 &&
         ::mount(device.c_str(), "/dev/fuse", nullptr, MS_BIND, nullptr) == 0;
}

}  // namespace

class WorkerKillsTest : public FrontKills {
 protected:
  void begin() {
    for (int i = 0; i < kTreeFiles; ++i) shared_.files.push_back(tree_file(i));
    shared_.tree = flat_name(1);
    std::filesystem::create_directory(folder_ / "tree");
    for (int i = 0; i < kTreeFiles; ++i) write_file(folder_ / "tree" / std::to_string(i), tree_file(i));
    server_.answer_after(Milliseconds(20));
    start({"--remote", server_.url(), "--mode", "read", "--session-budget", "24h"});
    ASSERT_FALSE(HasFailure());
    auto kept = hitfs("put", {shared_.tree, (folder_ / "tree").string()});
    ASSERT_EQ(kept.code, 0) << kept.output;
  }

  // Entries that only the remote has.
  void seed_remote(int round) {
    shared_.remote_names.clear();
    shared_.remote_bytes.clear();
    for (int i = 0; i < kRemoteEntries; ++i) {
      shared_.remote_names.push_back(flat_name(1000 + round * kRemoteEntries + i));
      shared_.remote_bytes.push_back(noise(10'000 + static_cast<size_t>(i) * 1000, static_cast<unsigned>(i)));
      seed(server_, "flat", shared_.remote_names.back(), shared_.remote_bytes.back());
    }
  }

  static Json the_mount(const Json& supervisor) {
    return supervisor["mounts"].items().size() == 1 ? supervisor["mounts"].items().front() : Json();
  }
  static Json the_worker(const Json& supervisor) { return the_mount(supervisor)["worker"]; }

  // One round: a mount, a load, `kills` times `strike`, and the end of both.
  void round(int number, int kills, const std::function<void(const MountLoad&)>& strike) {
    seed_remote(number);
    auto place = mount("m");
    ASSERT_FALSE(HasFailure());
    killed_ = 0;
    MountLoad::Plan plan{place, shared_, static_cast<unsigned>(number) * 100, 3, 4, user_};
    MountLoad load(plan);
    auto progress = [&] { return load.calls().made(); };
    for (int i = 0; i < kills; ++i) strike(load);
    wait_ready(&the_worker);
    let_pass(progress, kCallsBetween);
    EXPECT_TRUE(load.finish()) << load.calls().failure();
    EXPECT_EQ(load.calls().failure(), "") << warnings();
    const Json all = supervisor();
    const Json now = the_mount(all);
    EXPECT_EQ(now["worker"]["restarts"].integer_or(-1), kills) << now.dump();
    EXPECT_EQ(now["state"].text_or(""), "serving") << now.dump();
    figures_.add(load.calls(), load.remote());
    figures_.add(now["device"]);
    ++figures_.rounds;
    auto gone = hitfs("unmount", {place.string()});
    EXPECT_EQ(gone.code, 0) << gone.output;
  }

  // SIGKILL at any moment; now and then to a worker that has just been started. Not three in a row: a request that was
  // being carried out when four workers died is given up.
  void kill(const MountLoad& load) {
    bool at_start = killed_ != 0 && !killed_starting_ && random_() % 3 == 0;
    if (!at_start) let_pass([&] { return load.calls().made(); }, kCallsBetween);
    pid_t pid = successor(&the_worker);
    const Json all = supervisor();
    const Json now = the_mount(all);
    figures_.during_calls += load.calls().running > 0 ? 1 : 0;
    figures_.during_start += now["worker"]["state"].text_or("") == "starting" ? 1 : 0;
    figures_.with_parked += now["device"]["parked"].integer_or(0) > 0 ? 1 : 0;
    kill_and_wait(pid);
    killed_starting_ = at_start;
    killed_ = pid;
    ++figures_.kills;
  }

  void kill_in_rounds(const std::string& title, int kills) {
    begin();
    ASSERT_FALSE(HasFailure());
    for (int number = 0; figures_.kills < kills && !HasFailure(); ++number) {
      round(number, std::min(kKillsInRound, kills - figures_.kills), [this](const MountLoad& load) { kill(load); });
    }
    figures_.print(title);
    EXPECT_EQ(figures_.kills, kills);
    expect_nothing_seen();
    // The drill did what it says: kills hit requests, and every kind of call was made.
    EXPECT_GT(figures_.during_calls, kills / 2);
    EXPECT_GT(figures_.settled, 0u);
    EXPECT_GT(figures_.with_parked, 0);
    for (const auto& kind : figures_.kinds.kinds) EXPECT_GT(kind.made, 0u) << describe(figures_.kinds);
  }

  void expect_nothing_seen() {
    EXPECT_EQ(figures_.failed, 0u);
    EXPECT_EQ(figures_.wrong, 0u);
    EXPECT_EQ(figures_.poisoned, 0u);
    EXPECT_EQ(figures_.io_errors, 0u);
    EXPECT_GT(figures_.found, 0u);
    EXPECT_LT(figures_.longest_ms, std::chrono::milliseconds(kLongestCall).count());
  }

  MemoryNxServer server_;
  SharedEntries shared_;
  Figures figures_;
  std::optional<uid_t> user_;
  bool killed_starting_ = false;
};

TEST_F(WorkerKillsTest, UnderLoadFailNoCallAndSpoilNoByte) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  kill_in_rounds("kills of the worker", wanted_kills(30));
}

TEST_F(WorkerKillsTest, OfAUserThroughFusermountAreNotSeenEither) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  if (::geteuid() != 0) GTEST_SKIP() << "this user is an ordinary one: the test before is this one";
  if (::access("/usr/bin/fusermount3", X_OK) != 0) GTEST_SKIP() << "no fusermount3";
  if (!open_the_device(folder_.path())) GTEST_SKIP() << "no mount namespace of its own here";
  become(kNobody);
  user_ = kNobody;
  kill_in_rounds("kills of the worker of user 65534", wanted_kills(10));
}

TEST_F(WorkerKillsTest, AWorkerThatStopsIsReplacedWithinTheWatchdogsTime) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  begin();
  ASSERT_FALSE(HasFailure());
  const int stops = wanted_kills(1) == 1 ? 1 : 10;
  int64_t longest = 0;
  auto stop = [&](const MountLoad& load) {
    let_pass([&] { return load.calls().made(); }, kCallsBetween);
    wait_ready(&the_worker);
    killed_ = successor(&the_worker);
    auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(::kill(killed_, SIGSTOP), 0);
    EXPECT_GT(successor(&the_worker), 1);
    wait_ready(&the_worker);
    auto took = std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - begin);
    EXPECT_LT(took.count(), kReplaced.count());
    longest = std::max<int64_t>(longest, took.count());
    ++figures_.kills;
  };
  for (int number = 0; figures_.kills < stops && !HasFailure(); ++number) {
    round(number, std::min(kKillsInRound, stops - figures_.kills), stop);
  }
  figures_.print("stops of the worker (SIGSTOP)");
  say(fmt::format("  replaced after {} ms at most", longest));
  expect_nothing_seen();
}

}  // namespace hitfs::testing
