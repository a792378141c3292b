// A real disk on which the kernel finds an error: it becomes read-only under everything that is open, and comes back
// after a check.
#include <cerrno>
#include <cstdio>

#include "tests/drills/drill.h"
#include "tests/drills/loop_disk.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr size_t kDisk = 96 << 20;
constexpr size_t kLarge = 150'000;
constexpr int kEntries = 12;

}  // namespace

class ReadOnlyDiskTest : public Drill {
 protected:
  void expect_everything(const std::filesystem::path& place) {
    for (int i = 0; i < kEntries; ++i) {
      EXPECT_TRUE(read_file(place / flat_name(i)) == noise(kLarge, static_cast<unsigned>(i))) << "saved " << i;
      EXPECT_TRUE(get(nx_name(i)).body == opaque_artifact(kLarge, static_cast<unsigned>(i))) << "stored " << i;
    }
  }

  LoopDisk disk_{folder_.path(), store_.root, kDisk};
};

TEST_F(ReadOnlyDiskTest, WhatIsThereIsServedAndTheRestRefusedUntilItWasRepaired) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  if (disk_.failure()) GTEST_SKIP() << *disk_.failure();
  start();
  auto place = mount("m");
  for (int i = 0; i < kEntries; ++i) {
    save(place / flat_name(i), noise(kLarge, static_cast<unsigned>(i)));
    ASSERT_EQ(put(nx_name(i), opaque_artifact(kLarge, static_cast<unsigned>(i))).status, 200);
  }
  ASSERT_EQ(hitfs("flush").code, 0);

  ASSERT_TRUE(disk_.become_read_only());
  const int saved = try_to_save(place / flat_name(100), noise(kLarge, 100));
  const int stored = put(nx_name(100), opaque_artifact(kLarge, 100)).status;
  EXPECT_EQ(saved, EROFS);
  EXPECT_EQ(stored, 403);
  EXPECT_EQ(get(nx_name(100)).status, 404);
  EXPECT_EQ(look(place / flat_name(100)), ENOENT);
  expect_everything(place);
  auto said = hitfs("status");
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.output.find("Read-only file system"), std::string::npos) << said.output;
  auto command = hitfs("run", {"--", "echo", "built"});
  EXPECT_EQ(command.code, 0);
  EXPECT_NE(command.output.find("built"), std::string::npos) << command.output;

  EXPECT_EQ(hitfs("unmount", {place.string()}).code, 0);
  EXPECT_EQ(hitfs("stop", {"--flush", "0s"}).timed_out, false);
  ASSERT_TRUE(disk_.repair());
  start();
  place = mount("m");
  expect_everything(place);
  EXPECT_EQ(try_to_save(place / flat_name(100), "again"), 0);
  EXPECT_EQ(put(nx_name(100), nx_artifact()).status, 200);
  EXPECT_EQ(hitfs("verify").code, 0);
  printf(
      "[ drill    ] ext4 became read-only under %d entries: save %s, PUT %d, all of them read there and after e2fsck\n",
      2 * kEntries, ::strerrorname_np(saved), stored);
}

}  // namespace hitfs::testing
