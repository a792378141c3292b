#include "store/digest.h"

#include <gtest/gtest.h>

#include "store/base/io.h"

namespace hitfs {
namespace {

constexpr std::string_view kHello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

TEST(DigestTest, IsTheSha256AndTheSizeOfTheBytes) {
  auto digest = Digest::of(io::as_bytes("hello"));
  EXPECT_EQ(digest.hex(), kHello);
  EXPECT_EQ(digest.size, 5u);
}

TEST(DigestTest, PiecesGiveTheDigestOfTheWhole) {
  Hasher hasher;
  hasher.update(io::as_bytes("hel"));
  hasher.update(io::as_bytes("lo"));
  EXPECT_EQ(hasher.finish(), Digest::of(io::as_bytes("hello")));
  EXPECT_EQ(hasher.finish(), Digest::of({}));
}

TEST(DigestTest, ParsesOnlyLowerCaseHexOfTheRightLength) {
  auto digest = Digest::parse(kHello, 5);
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->hex(), kHello);
  EXPECT_FALSE(Digest::parse("2CF2", 5));
  std::string upper(kHello);
  upper[1] = 'C';
  EXPECT_FALSE(Digest::parse(upper, 5));
  EXPECT_FALSE(Digest::parse(std::string(kHello) + "0", 5));
}

}  // namespace
}  // namespace hitfs
