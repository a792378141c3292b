#include "store/archive/gzip.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/memory_tree.h"

namespace hitfs {
namespace {

using testing::MemorySink;
using testing::MemorySource;

std::string noise(size_t size, uint32_t seed) {
  std::minstd_rand random(seed);
  std::string text(size, '\0');
  for (auto& c : text) c = static_cast<char>("abcdefgh"[random() % 8]);
  return text;
}

std::string compress(std::string_view text, size_t piece = SIZE_MAX, const std::string& extra = "",
                     GuardLimits limits = {}) {
  MemorySink sink;
  GzipWriter writer(sink, limits, extra);
  while (!text.empty()) {
    auto part = text.substr(0, piece);
    EXPECT_TRUE(writer.write(io::as_bytes(part)));
    text.remove_prefix(part.size());
  }
  EXPECT_TRUE(writer.finish());
  return sink.text;
}

Result<std::string> inflate(const std::string& bytes, size_t piece = SIZE_MAX, size_t output = 10000,
                            GuardLimits limits = {}) {
  MemorySource source(bytes, piece);
  Guard guard(limits, ArchiveReaders::hitfs_only);
  GzipReader reader(source, guard);
  std::string text;
  std::string part(output, '\0');
  while (true) {
    auto got = reader.read(std::as_writable_bytes(std::span(part)));
    if (!got) return std::move(got).error();
    if (*got == 0) return text;
    text += part.substr(0, *got);
  }
}

TEST(GzipTest, ReturnsWhatWasWrittenWhereverPiecesEnd) {
  for (size_t size : {0u, 1u, 100u, 65536u, (1u << 20) - 1, 1u << 20, (1u << 20) + 1, 3000000u}) {
    auto text = noise(size, 7);
    auto bytes = compress(text, 70001);
    for (size_t piece : {size_t{1}, size_t{13}, size_t{5000}, SIZE_MAX}) {
      if (piece < 100 && size > 100000) continue;
      auto back = inflate(bytes, piece, size > 1000 ? 8191 : 3);
      ASSERT_TRUE(back) << back.error().message;
      EXPECT_EQ(*back, text);
    }
  }
}

TEST(GzipTest, BytesDependOnContentAlone) {
  auto text = noise(2500000, 3);
  EXPECT_EQ(compress(text), compress(text, 777));
  EXPECT_EQ(Digest::of(io::as_bytes(compress(text))).hex(),
            "6efb03c877293c38ce847a54971b25af07937e0829e2b38b0b41ad079580006f");
}

TEST(GzipTest, ReadsFieldsOfAHeaderThatIsNotOurs) {
  auto plain = compress("hello");
  std::string extra(60000, 'e');
  EXPECT_EQ(inflate(compress("hello", 5, extra), 100).value(), "hello");
  auto named = plain;
  named[3] = 8;
  named.insert(10, std::string("name\0", 5));
  EXPECT_EQ(inflate(named, 1).value(), "hello");
}

TEST(GzipTest, RefusesWhateverFollowsTheMember) {
  auto bytes = compress(noise(5000, 1));
  for (const auto& tail : {std::string("x"), std::string(512, '\0'), bytes}) {
    for (size_t piece : {size_t{1}, size_t{100}, SIZE_MAX}) {
      auto read = inflate(bytes + tail, piece);
      ASSERT_FALSE(read);
      EXPECT_EQ(read.error().code, Code::corrupt);
      EXPECT_NE(read.error().message.find("after the end"), std::string::npos) << read.error().message;
    }
  }
}

TEST(GzipTest, EveryCutIsSeen) {
  auto bytes = compress(noise(3000, 1), SIZE_MAX, "HF");
  for (size_t length = 0; length < bytes.size(); ++length) {
    auto read = inflate(bytes.substr(0, length));
    ASSERT_FALSE(read) << length;
    EXPECT_EQ(read.error().code, Code::corrupt);
  }
}

TEST(GzipTest, NoDamagedByteChangesWhatComesOut) {
  auto text = noise(2000, 5);
  auto bytes = compress(text);
  size_t refused = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int flip : {0x01, 0x20, 0x80}) {
      auto damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      auto read = inflate(damaged);
      // The time and system of the header and the bits that fill up a byte have no meaning: damage there may pass, but
      // it changes nothing.
      if (!read) {
        ++refused;
        continue;
      }
      EXPECT_EQ(*read, text) << "byte " << i;
    }
  }
  EXPECT_GT(refused, 3 * (bytes.size() - 20));
}

TEST(GzipTest, EndsABombByItsLimits) {
  GuardLimits limits;
  limits.ratio_from = 1 << 20;
  limits.ratio = 20;
  MemorySink sink;
  GzipWriter writer(sink, GuardLimits{});
  std::string zeros(64 << 20, '\0');
  ASSERT_TRUE(writer.write(io::as_bytes(zeros)));
  ASSERT_TRUE(writer.finish());
  auto bomb = inflate(sink.text, SIZE_MAX, 100000, limits);
  ASSERT_FALSE(bomb);
  EXPECT_NE(bomb.error().message.find("ratio"), std::string::npos);
  limits.unpacked_bytes = 1 << 19;
  bomb = inflate(sink.text, SIZE_MAX, 100000, limits);
  ASSERT_FALSE(bomb);
  EXPECT_NE(bomb.error().message.find("unpacked bytes"), std::string::npos);
  limits.artifact_bytes = 100;
  bomb = inflate(sink.text, SIZE_MAX, 100000, limits);
  ASSERT_FALSE(bomb);
  EXPECT_NE(bomb.error().message.find("artifact bytes"), std::string::npos);
}

TEST(GzipTest, WhatWeWriteIsNeverTakenForABomb) {
  GuardLimits limits;
  limits.ratio_from = 4 << 20;
  limits.ratio = 10;
  std::string zeros(32 << 20, '\0');
  auto bytes = compress(zeros, SIZE_MAX, "", limits);
  EXPECT_GT(bytes.size(), zeros.size() / 10);
  auto back = inflate(bytes, SIZE_MAX, 1 << 20, limits);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, zeros);
}

TEST(GzipTest, RefusesToWriteMoreThanTheLimits) {
  MemorySink sink;
  GuardLimits limits;
  limits.unpacked_bytes = 1 << 20;
  GzipWriter writer(sink, limits);
  std::string text(3 << 20, 'x');
  auto written = writer.write(io::as_bytes(text));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Code::invalid_argument);
}

TEST(GzipTest, CrcIsTheOneOfGzip) { EXPECT_EQ(crc32(io::as_bytes("123456789")), 0xcbf43926u); }

}  // namespace
}  // namespace hitfs
