// A store whose limit is below the size of one entry.
#include <cstdio>

#include "tests/drills/drill.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr size_t kTooLarge = 3 * kMiB;
constexpr size_t kFits = 100'000;
constexpr int kRounds = 8;
// Index, its log, access log and log files: what is not counted as entries.
constexpr uint64_t kOverhead = 12 * kMiB;

uint64_t bytes_below(const std::filesystem::path& folder) {
  uint64_t sum = 0;
  std::error_code failure;
  for (std::filesystem::recursive_directory_iterator it(folder, failure), end; !failure && it != end;
       it.increment(failure)) {
    std::error_code gone;
    if (it->is_regular_file(gone)) sum += it->file_size(gone);
  }
  return sum;
}

}  // namespace

class SmallQuotaTest : public Drill {};

TEST_F(SmallQuotaTest, WhatIsLargerThanTheStoreIsAMissAndTheBuildGoesOn) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  MemoryNxServer server;
  start({"--remote", server.url(), "--max-size", "1MiB"});
  auto place = mount("m");
  int refused = 0, misses = 0, kept = 0, fitting = 0;
  uint64_t most = 0;
  for (int i = 0; i < kRounds; ++i) {
    const auto large = opaque_artifact(kTooLarge, static_cast<unsigned>(i));
    const auto small = opaque_artifact(kFits, static_cast<unsigned>(i));
    seed(server, "nx", nx_name(100 + i), large);
    refused += put(nx_name(i), large).status == 403 ? 1 : 0;
    misses += get(nx_name(100 + i)).status == 404 ? 1 : 0;
    EXPECT_EQ(get(nx_name(i)).status, 404);
    // A write into the mount is not limited by the store but by the disk: it stays a name of this machine.
    EXPECT_EQ(try_to_save(place / flat_name(i), large), 0);
    kept += read_file(place / flat_name(i)) == large ? 1 : 0;
    std::filesystem::remove(place / flat_name(i));
    fitting += put(nx_name(200 + i), small).status == 200 && get(nx_name(200 + i)).body == small ? 1 : 0;
    EXPECT_TRUE(eventually([&] { return bytes_below(store_.root) <= kMiB + kOverhead; })) << bytes_below(store_.root);
    most = std::max(most, bytes_below(store_.root));
  }
  EXPECT_EQ(refused, kRounds);
  EXPECT_EQ(misses, kRounds);
  EXPECT_EQ(kept, kRounds);
  EXPECT_EQ(fitting, kRounds);
  const auto told = why(nx_name(100)) + why(nx_name(0)) + read_file(store_.root / "supervisor.log").value_or("");
  EXPECT_NE(told.find("limit"), std::string::npos) << told;
  const auto now = status();
  EXPECT_LE(now["store"]["bytes"].integer_or(-1), static_cast<int64_t>(kMiB));
  EXPECT_EQ(now["supervisor"]["daemon"]["restarts"].integer_or(-1), 0);
  printf(
      "[ drill    ] limit 1 MiB, entries of 3 MiB: %d of %d PUTs refused, %d pulls are misses, %d files of the mount "
      "kept; %d entries that fit stored and read; at most %llu KiB on the disk\n",
      refused, kRounds, misses, kept, fitting, static_cast<unsigned long long>(most >> 10));
}

}  // namespace hitfs::testing
