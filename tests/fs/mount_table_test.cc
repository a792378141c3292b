#include "fs/mounting/mount_table.h"

#include <gtest/gtest.h>

namespace hitfs::fs {

TEST(MountTableTest, FindsTheTopmostMountAtExactlyOnePath) {
  const std::string table =
      "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
      "40 22 0:50 / /mnt/a rw shared:5 master:2 - fuse.hitfs hitfs rw,user_id=0\n"
      "41 40 0:51 / /mnt/a rw - tmpfs tmpfs rw\n"
      "42 22 0:52 / /mnt/with\\040space rw - fuse.hitfs /a\\040store rw\n"
      "43 22 0:53 / /mnt/ab rw - ext4 x rw\n";
  auto top = find_mount_in(table, "/mnt/a");
  ASSERT_TRUE(top);
  EXPECT_EQ(top->type, "tmpfs");
  EXPECT_EQ(top->device, "0:51");
  auto spaced = find_mount_in(table, "/mnt/with space");
  ASSERT_TRUE(spaced);
  EXPECT_EQ(spaced->type, "fuse.hitfs");
  EXPECT_EQ(spaced->source, "/a store");
  EXPECT_FALSE(find_mount_in(table, "/mnt"));
  EXPECT_FALSE(find_mount_in(table, "/mnt/a/b"));
}

TEST(MountTableTest, ReadsTheKernelsTable) {
  auto root = find_mount("/");
  ASSERT_TRUE(root);
  ASSERT_TRUE(root->has_value());
  EXPECT_NE((*root)->device.find(':'), std::string::npos);
}

}  // namespace hitfs::fs
