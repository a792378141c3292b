#include "sync/scratch.h"

#include <gtest/gtest.h>

#include <fstream>

#include "store/base/io.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

std::string read_all(ByteSource& source) {
  std::string text;
  std::array<std::byte, 7> piece;
  while (true) {
    auto got = source.read(piece);
    if (!got || *got == 0) return text;
    text += io::as_text(std::span(piece).first(*got));
  }
}

class ScratchTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  std::unique_ptr<Scratch> scratch_ = *Scratch::open(dir_ / "scratch");
};

TEST_F(ScratchTest, WhatWasWrittenCanBeReadMoreThanOnce) {
  auto file = *scratch_->create();
  ASSERT_TRUE(file->write(io::as_bytes("hello ")));
  ASSERT_TRUE(file->write(io::as_bytes("world")));
  EXPECT_EQ(file->size(), 11u);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(read_all(*file->read()), "hello world");
}

TEST_F(ScratchTest, AFileGoesWithItsOwner) {
  auto file = *scratch_->create();
  auto path = file->path();
  EXPECT_TRUE(std::filesystem::exists(path));
  file.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(ScratchTest, TheLimitIsKept) {
  auto file = *scratch_->create();
  file->limit(4);
  ASSERT_TRUE(file->write(io::as_bytes("abcd")));
  auto more = file->write(io::as_bytes("e"));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::no_space);
}

TEST_F(ScratchTest, ARestartForgetsWhatWasWritten) {
  auto file = *scratch_->create();
  ASSERT_TRUE(file->write(io::as_bytes("first try")));
  ASSERT_TRUE(file->restart());
  ASSERT_TRUE(file->write(io::as_bytes("2nd")));
  EXPECT_EQ(read_all(*file->read()), "2nd");
}

TEST_F(ScratchTest, TheNextDaemonStartsWithAnEmptyFolder) {
  std::ofstream(dir_ / "scratch/left-behind") << "x";
  auto again = Scratch::open(dir_ / "scratch");
  ASSERT_TRUE(again);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "scratch/left-behind"));
}

TEST_F(ScratchTest, OnlyARegularFileIsTakenOver) {
  std::filesystem::create_directory(dir_ / "folder");
  EXPECT_FALSE(Scratch::File::take_over(dir_ / "folder"));
  EXPECT_FALSE(Scratch::File::take_over(dir_ / "none"));
  std::ofstream(dir_ / "file") << "12345";
  auto taken = Scratch::File::take_over(dir_ / "file");
  ASSERT_TRUE(taken);
  EXPECT_EQ((*taken)->size(), 5u);
}

}  // namespace
}  // namespace hitfs
