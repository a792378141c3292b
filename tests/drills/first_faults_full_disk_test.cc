// The disk of the store is full.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "tests/drills/drill.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr size_t kKiB = 1 << 10;
constexpr size_t kMiB = 1 << 20;
constexpr size_t kDisk = 48 * kMiB;

}  // namespace

class FullDiskTest : public Drill {
 protected:
  // What keeps the test from running; else the store lies on a small disk of its own, with a mount and an endpoint.
  std::optional<std::string> begin() {
    if (auto why = why_no_mount()) return why;
    std::filesystem::create_directory(store_.root);
    if (::mount("none", store_.root.c_str(), "tmpfs", 0, ("size=" + std::to_string(kDisk)).c_str()) < 0) {
      return "no right to mount a small disk";
    }
    start();
    place_ = mount("m");
    return std::nullopt;
  }

  [[nodiscard]] size_t free_bytes() const {
    struct statvfs info {};
    return ::statvfs(store_.root.c_str(), &info) == 0 ? info.f_bavail * info.f_frsize : 0;
  }
  // Leaves `bytes` of the disk, by a file that is not hitfs's; hitfs may take or free some of it meanwhile.
  void leave(size_t bytes) {
    UniqueFd filler(::open(filler_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_TRUE(eventually([&] {
      struct stat info {};
      auto free = free_bytes();
      if (::fstat(filler.get(), &info) < 0) return false;
      auto more = static_cast<off_t>(free) - static_cast<off_t>(bytes);
      if (more > 0) return ::posix_fallocate(filler.get(), info.st_size, more) == 0;
      return ::ftruncate(filler.get(), info.st_size + more) == 0;
    }));
  }
  void expect_it_goes_on() {
    save(place_ / flat_name(900), "room again");
    EXPECT_EQ(read_file(place_ / flat_name(900)), "room again");
    EXPECT_EQ(put(nx_name(900), nx_artifact()).status, 200);
    EXPECT_EQ(get(nx_name(900)).body, nx_artifact());
    auto verified = hitfs("verify");
    EXPECT_EQ(verified.code, 0) << verified.output;
    EXPECT_EQ(status()["supervisor"]["daemon"]["restarts"].integer_or(-1), 0);
  }

  std::filesystem::path place_;
  std::filesystem::path filler_ = store_.root / "filler-of-the-test";
};

TEST_F(FullDiskTest, WhatDoesNotFitIsRefusedAndTheRestGoesOn) {
  if (auto why = begin()) GTEST_SKIP() << *why;
  ASSERT_FALSE(HasFailure());
  auto large = opaque_artifact(2 * kDisk, 1);
  EXPECT_EQ(try_to_save(place_ / flat_name(1), large), ENOSPC);
  std::filesystem::remove(place_ / (flat_name(1) + ".tmp"));
  EXPECT_EQ(put(nx_name(1), large).status, 403);
  EXPECT_EQ(get(nx_name(1)).status, 404);
  EXPECT_EQ(look(place_ / flat_name(1)), ENOENT);
  EXPECT_TRUE(eventually([&] { return free_bytes() > kDisk / 2; })) << free_bytes();
  expect_it_goes_on();
}

// Less and less room, so that the disk is full at one step of a save after the other.
TEST_F(FullDiskTest, WhateverStepFailsBuildsSeeOnlyThatAndNothingAcknowledgedIsLost) {
  if (auto why = begin()) GTEST_SKIP() << *why;
  ASSERT_FALSE(HasFailure());
  constexpr int kSteps = 60;
  constexpr size_t kStep = 8 * kKiB;
  constexpr size_t kLarge = 100 * kKiB;
  std::set<int> errors, statuses, saved, stored;
  for (int i = 0; i < kSteps; ++i) {
    auto left = (kSteps - 1 - static_cast<size_t>(i)) * kStep;
    auto bytes = opaque_artifact(kLarge, static_cast<unsigned>(i));
    leave(left);
    auto error = try_to_save(place_ / flat_name(i), bytes);
    leave(left);
    auto status = put(nx_name(i), bytes).status;
    errors.insert(error);
    statuses.insert(status);
    if (error == 0) saved.insert(i);
    if (status == 200) stored.insert(i);
  }
  RecordProperty("saved", static_cast<int>(saved.size()));
  RecordProperty("stored", static_cast<int>(stored.size()));
  EXPECT_EQ(errors, (std::set<int>{0, ENOSPC}));
  EXPECT_EQ(statuses, (std::set<int>{200, 403}));
  std::filesystem::remove(filler_);
  for (int i : saved) {
    EXPECT_TRUE(read_file(place_ / flat_name(i)) == opaque_artifact(kLarge, static_cast<unsigned>(i))) << i;
  }
  for (int i : stored) {
    EXPECT_TRUE(get(nx_name(i)).body == opaque_artifact(kLarge, static_cast<unsigned>(i))) << i;
  }
  expect_it_goes_on();
}

}  // namespace hitfs::testing
