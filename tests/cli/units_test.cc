#include "cli/units.h"

#include <gtest/gtest.h>

namespace hitfs {

TEST(UnitsTest, Sizes) {
  EXPECT_EQ(*parse_size("20GB"), 20'000'000'000u);
  EXPECT_EQ(*parse_size("20GiB"), 20ull << 30);
  EXPECT_EQ(*parse_size("1.5 MiB"), 3u << 19);
  EXPECT_EQ(*parse_size("512"), 512u);
  EXPECT_EQ(*parse_size("4k"), 4096u);
  EXPECT_EQ(*parse_size("0"), 0u);
  for (const char* wrong : {"", "GB", "-1", "20XB", "1GB2", "1e30GB", "nan", "inf", "99999999999999TB"}) {
    EXPECT_FALSE(parse_size(wrong)) << wrong;
  }
}

TEST(UnitsTest, Durations) {
  EXPECT_EQ(*parse_duration("10s"), Milliseconds(10000));
  EXPECT_EQ(*parse_duration("500ms"), Milliseconds(500));
  EXPECT_EQ(*parse_duration("1m30s"), Milliseconds(90000));
  EXPECT_EQ(*parse_duration("1.5h"), Milliseconds(5400000));
  EXPECT_EQ(*parse_duration("0"), Milliseconds(0));
  for (const char* wrong : {"", "10", "s", "-1s", "10 parsecs", "10000d"}) EXPECT_FALSE(parse_duration(wrong)) << wrong;
  EXPECT_NE(parse_duration("10").error().message.find("10s"), std::string::npos) << "it shows how to write one";
  EXPECT_EQ(format_duration(Milliseconds(90500)), "1m30s500ms");
}

TEST(UnitsTest, NearestWord) {
  EXPECT_EQ(nearest("max-sise", {"max-size", "max-files"}), "max-size");
  EXPECT_EQ(nearest("statsu", {"status", "start"}), "status");
  EXPECT_EQ(nearest("zzzzzz", {"status", "start"}), "");
}

}  // namespace hitfs
