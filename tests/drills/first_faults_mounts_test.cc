// Two mounts of one store.
#include <cerrno>

#include "tests/drills/drill.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

class MountsTest : public Drill {};

TEST_F(MountsTest, TwoMountsShareWhatIsSavedAndKeepTheirOwnDeletions) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  auto one = mount("one"), other = mount("other");
  ASSERT_FALSE(HasFailure());
  // The "no" that the other mount remembers ends with the commit.
  EXPECT_EQ(look(other / flat_name(1)), ENOENT);
  save(one / flat_name(1), "from one");
  EXPECT_TRUE(eventually([&] { return read_file(other / flat_name(1)) == "from one"; }));
  std::filesystem::create_directories(other / "tree.tmp/sub");
  write_file(other / "tree.tmp/sub/file", "from the other");
  std::filesystem::rename(other / "tree.tmp", other / flat_name(2));
  EXPECT_TRUE(eventually([&] { return read_file(one / flat_name(2) / "sub/file") == "from the other"; }));

  std::filesystem::remove(one / flat_name(1));
  std::filesystem::remove_all(one / flat_name(2));
  for (int i : {1, 2}) EXPECT_EQ(look(one / flat_name(i)), ENOENT);
  EXPECT_EQ(read_file(other / flat_name(1)), "from one");
  EXPECT_EQ(read_file(other / flat_name(2) / "sub/file"), "from the other");

  auto unmounted = hitfs("unmount", {one.string()});
  ASSERT_EQ(unmounted.code, 0) << unmounted.output;
  EXPECT_TRUE(std::filesystem::is_empty(one));
  EXPECT_EQ(read_file(other / flat_name(1)), "from one");
  save(other / flat_name(3), "still there");
  EXPECT_EQ(read_file(other / flat_name(3)), "still there");
  EXPECT_EQ(status()["supervisor"]["mounts"].items().size(), 1u);
}

}  // namespace hitfs::testing
