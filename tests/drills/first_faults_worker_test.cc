// Workers of mounts are killed while programs read.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "tests/drills/drill.h"
#include "tests/support/shared_memory.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

// Two rounds of a reader, on a machine with other things to do.
constexpr Milliseconds kReading{60'000};
constexpr int kFiles = 20;

std::string content(int file) { return noise(200'000, static_cast<unsigned>(file)); }

// Reads an entry that the kernel may not answer from its memory, lists it, and looks for a name that is not there.
// What went wrong, or nothing.
std::string read_once(const std::filesystem::path& place, const std::vector<std::string>& expected, int round) {
  for (int i = 0; i < kFiles; ++i) {
    auto path = place / flat_name(1) / std::to_string(i);
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return "open: " + std::string(std::strerror(errno));
    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
    std::string bytes(expected[static_cast<size_t>(i)].size() + 1, '\0');
    auto got = ::pread(file.get(), bytes.data(), bytes.size(), 0);
    if (got < 0) return "read: " + std::string(std::strerror(errno));
    bytes.resize(static_cast<size_t>(got));
    if (bytes != expected[static_cast<size_t>(i)]) return "wrong bytes";
  }
  std::error_code failure;
  auto listed = std::distance(std::filesystem::directory_iterator(place, failure), {});
  if (failure || listed != 1) return "list: " + failure.message();
  struct stat info {};
  if (::stat((place / flat_name(1000 + round)).c_str(), &info) == 0 || errno != ENOENT) return "a look at nothing";
  return "";
}

// Numbers that this process and its readers see.
struct Shared {
  std::atomic<bool> stop = false;
  std::array<std::atomic<int>, 2> rounds{};
};

// Until it is stopped; exit code 0 when every call succeeded.
int read_on(const std::filesystem::path& place, const std::atomic<bool>& stop, std::atomic<int>& rounds) {
  std::vector<std::string> expected;
  for (int i = 0; i < kFiles; ++i) expected.push_back(content(i));
  for (; !stop; ++rounds) {
    if (auto failed = read_once(place, expected, rounds); !failed.empty()) {
      write_file(place.string() + ".report", failed + " in round " + std::to_string(rounds));
      return 1;
    }
  }
  return 0;
}

}  // namespace

class KilledWorkerTest : public Drill {};

// A worker that ends more than 5 times within a minute is given up, so that ten kills take two mounts.
TEST_F(KilledWorkerTest, TenKillsOfWorkersFailNoCall) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  constexpr int kKillsPerMount = 5;
  std::filesystem::create_directory(folder_ / "tree");
  for (int i = 0; i < kFiles; ++i) write_file(folder_ / "tree" / std::to_string(i), content(i));
  ASSERT_EQ(hitfs("put", {flat_name(1), (folder_ / "tree").string()}).code, 0);
  const std::array places{mount("m0"), mount("m1")};
  ASSERT_FALSE(HasFailure());
  SharedMemory<Shared> shared;
  std::vector<std::unique_ptr<TestProcess>> readers;
  for (size_t i = 0; i < places.size(); ++i) {
    readers.push_back(
        std::make_unique<TestProcess>([&, i] { return read_on(places[i], shared->stop, shared->rounds[i]); }));
  }
  for (int kill = 0; kill < kKillsPerMount; ++kill) {
    for (size_t i = 0; i < places.size(); ++i) {
      int before = shared->rounds[i];
      kill_and_wait(worker_pid(places[i]));
      EXPECT_TRUE(eventually([&] { return shared->rounds[i] >= before + 2; }, kReading)) << "after kill " << kill;
    }
  }
  shared->stop = true;
  for (size_t i = 0; i < places.size(); ++i) {
    EXPECT_EQ(readers[i]->wait(), 0) << read_file(places[i].string() + ".report").value_or("");
  }
  const auto now = status();
  for (const auto& mount : now["supervisor"]["mounts"].items()) {
    EXPECT_EQ(mount["worker"]["restarts"].integer_or(0), kKillsPerMount) << now.dump();
  }
}

}  // namespace hitfs::testing
