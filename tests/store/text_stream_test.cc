#include "store/text_stream.h"

#include <gtest/gtest.h>

#include "tests/support/memory_tree.h"

namespace hitfs::testing {
namespace {

TEST(ReadTextTest, TakesEverythingUpToTheLimit) {
  const std::string text(50'000, 'x');
  for (size_t piece : {size_t{1'000}, size_t{60'000}}) {
    MemorySource source(text, piece);
    auto read = read_text(source, text.size());
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, text);
  }
}

TEST(ReadTextTest, StopsSoonBehindTheLimit) {
  MemorySource source(std::string(10 << 20, 'x'));
  auto read = read_text(source, 100'000);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::corrupt);
  EXPECT_LT(source.taken(), 200'000u);
}

TEST(ReadTextTest, PassesAnErrorOn) {
  class Broken final : public ByteSource {
   public:
    Result<size_t> read(std::span<std::byte>) override { return Error{Code::unavailable, "gone"}; }
    [[nodiscard]] std::optional<uint64_t> size() const override { return std::nullopt; }
  } source;
  EXPECT_EQ(read_text(source, 10).error().message, "gone");
}

}  // namespace
}  // namespace hitfs::testing
