// The supervisor itself is killed: everything goes with it, calls in the mount fail at once instead of hanging, and the
// next start finds a free place and what was saved. Under a service manager that keeps descriptors nobody sees it.
#include <fmt/core.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "tests/drills/call_tally.h"
#include "tests/drills/front_kills.h"
#include "tests/support/shared_memory.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr Milliseconds kEnd{60'000};
constexpr int kReaders = 4;

struct Seen {
  std::atomic<uint64_t> good = 0;                   // calls before
  std::array<std::atomic<uint64_t>, 200> errors{};  // by errno, the first of each reader
  std::atomic<bool> enough = false;
};

// Looks at a name until that fails; a hang is the test's time limit.
int look_until_failure(const std::filesystem::path& file, Seen& seen) {
  struct stat info {};
  while (::lstat(file.c_str(), &info) == 0 || errno == ENOENT) ++seen.good;
  ++seen.errors[static_cast<size_t>(errno) % seen.errors.size()];
  return 0;
}

// Reads a file and makes others until it is enough; the first failure ends it.
int use_until_enough(const std::filesystem::path& place, const std::filesystem::path& entry, const std::string& bytes,
                     int number, Seen& seen) {
  for (int i = 0; !seen.enough; ++i, ++seen.good) {
    if (read_file(entry) != bytes) return 1;
    auto made = place / ("private" + std::to_string(number) + "-" + std::to_string(i));
    std::ofstream(made) << bytes;
    if (read_file(made) != bytes) return 2;
    std::error_code failure;
    if (!std::filesystem::remove(made, failure)) return 3;
    struct stat info {};
    if (::lstat(made.c_str(), &info) == 0 || errno != ENOENT) return 4;
  }
  return 0;
}

}  // namespace

class SupervisorKillsTest : public FrontKills {
 protected:
  // All processes of hitfs that run now.
  std::vector<pid_t> processes() {
    const Json all = supervisor();
    std::vector<pid_t> pids{pid_in(all), pid_in(all["daemon"]), pid_in(all["listener"])};
    for (const auto& mount : all["mounts"].items()) pids.push_back(pid_in(mount["worker"]));
    return pids;
  }
  static bool runs(pid_t pid) {
    auto state = read_file("/proc/" + std::to_string(pid) + "/stat").value_or("");
    auto name_end = state.rfind(')');
    return name_end != std::string::npos && name_end + 2 < state.size() && state[name_end + 2] != 'Z';
  }

  void kill_once(int round) {
    start();
    auto place = mount("m");
    ASSERT_FALSE(HasFailure());
    for (int i = 0; i < round; ++i) {
      EXPECT_EQ(read_file(place / flat_name(i)), "entry " + std::to_string(i));
      EXPECT_EQ(read_file(place / ("private" + std::to_string(i))), "private " + std::to_string(i));
    }
    save(place / flat_name(round), "entry " + std::to_string(round));
    write_file(place / ("private" + std::to_string(round)), "private " + std::to_string(round));
    std::vector<std::unique_ptr<TestProcess>> readers;
    for (int i = 0; i < kReaders; ++i) {
      auto name = i % 2 == 0 ? place / flat_name(round) : place / ("absent" + std::to_string(i));
      readers.push_back(std::make_unique<TestProcess>([this, name] { return look_until_failure(name, *seen_); }));
    }
    let_pass([&] { return seen_->good.load(); }, 500);
    auto all = processes();
    kill_and_wait(all.front());
    for (auto& reader : readers) EXPECT_EQ(reader->wait(kEnd), 0) << "a call hangs";
    for (pid_t pid : all) EXPECT_TRUE(eventually([&] { return !runs(pid); }, kEnd)) << pid << " outlives it";
    EXPECT_THROW(RawConnection{port()}, std::runtime_error) << "the port is refused at once";
  }

  // As systemd does: it ends what is left of a service, then starts it with what was kept.
  std::unique_ptr<Process> start_service() {
    auto service = std::make_unique<Process>(manager_.as_service(hitfs_command("start", {"--foreground"})));
    EXPECT_TRUE(manager_.wait(*service, kEnd)) << service->output();
    return service;
  }
  // A request that comes while nobody is there waits and is answered; reads and writes go on.
  std::unique_ptr<Process> end_and_start_again(Process& service, int signal) {
    let_pass([&] { return seen_->good.load(); }, 20);
    auto all = processes();
    service.signal(signal);
    for (pid_t pid : all) EXPECT_TRUE(eventually([&] { return !runs(pid); }, kEnd)) << pid << " outlives it";
    RawConnection waiting(port());
    EXPECT_TRUE(waiting.send("GET /v1/cache/" + nx_name(1) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + authorization() + "\r\n"));
    auto before = seen_->good.load();
    auto next = start_service();
    EXPECT_TRUE(waiting.read_reply().body == nx_artifact());
    EXPECT_TRUE(eventually([&] { return seen_->good >= before + 2 * kReaders; }, kEnd));
    return next;
  }

  SharedMemory<Seen> seen_;
  ReadySocket manager_{folder_.path()};
};

TEST_F(SupervisorKillsTest, EndCallsAtOnceAndTheNextStartHasEverything) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  const int kills = std::min(50, wanted_kills(3));
  for (int i = 0; i < kills && !HasFailure(); ++i) kill_once(i);
  std::string errors;
  uint64_t failures = 0;
  for (size_t i = 0; i < seen_->errors.size(); ++i) {
    if (seen_->errors[i] == 0) continue;
    errors += fmt::format("{}{} {}", errors.empty() ? "" : ", ", seen_->errors[i].load(),
                          ::strerrorname_np(static_cast<int>(i)));
    failures += seen_->errors[i];
  }
  say(fmt::format("kills of the supervisor: {}; {} calls before, then of {} readers: {}", kills, seen_->good.load(),
                  kills * kReaders, errors));
  EXPECT_EQ(failures, static_cast<uint64_t>(kills * kReaders));
  for (int allowed : {ENOTCONN, ECONNABORTED}) failures -= seen_->errors[static_cast<size_t>(allowed)];
  EXPECT_EQ(failures, 0u) << errors;
}

TEST_F(SupervisorKillsTest, AreNotSeenWhereAServiceManagerKeepsDescriptors) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  auto service = start_service();
  start();
  auto place = mount("m");
  ASSERT_FALSE(HasFailure()) << service->output();
  ASSERT_EQ(put(nx_name(1), nx_artifact()).status, 200);
  save(place / flat_name(1), "entry");
  std::ifstream open_all_along(place / flat_name(1));
  std::vector<std::unique_ptr<TestProcess>> users;
  for (int i = 0; i < kReaders; ++i) {
    users.push_back(std::make_unique<TestProcess>(
        [this, place, i] { return use_until_enough(place, place / flat_name(1), "entry", i, *seen_); }));
  }
  const int kills = std::min(50, wanted_kills(3));
  for (int i = 0; i < kills && !HasFailure(); ++i) {
    // SIGHUP is `systemctl reload`: a renewal, perhaps by a newer program.
    service = end_and_start_again(*service, i % 3 == 2 ? SIGHUP : SIGKILL);
  }
  seen_->enough = true;
  for (auto& user : users) EXPECT_EQ(user->wait(kEnd), 0) << "what failed: use_until_enough()";
  std::string line;
  EXPECT_TRUE(std::getline(open_all_along, line));
  EXPECT_EQ(line, "entry");
  say(fmt::format("ends of the supervisor under a service manager: {}; {} rounds of calls by {} programs, 0 failed",
                  kills, seen_->good.load(), kReaders));
  EXPECT_EQ(supervisor()["mounts"].items().size(), 1u);
  open_all_along.close();
  EXPECT_EQ(hitfs("unmount", {place.string()}).code, 0);
  EXPECT_EQ(enclosure_.mounts(), std::vector<std::string>{});
}

}  // namespace hitfs::testing
