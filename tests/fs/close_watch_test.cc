// The watching process, on a folder of the machine's own file system.
#include "fs/edge/close_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/support/temp_dir.h"

namespace hitfs::fs {

namespace {

using Kind = CloseNews::Kind;

class CloseWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_);
    auto watch = CloseWatch::start(folder_);
    ASSERT_TRUE(watch);
    watch_.emplace(*std::move(watch));
  }
  void TearDown() override {
    if (!watch_) return;
    pid_t process = watch_->pid();
    watch_.reset();
    // It ends with the one that asks.
    EXPECT_EQ(::waitpid(process, nullptr, 0), process);
  }

  UniqueFd open(const std::string& name, int flags = O_WRONLY | O_CREAT) {
    return UniqueFd(::open((folder_ / name).c_str(), flags | O_CLOEXEC, 0600));
  }
  CloseNews next() {
    pollfd news{watch_->fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&news, 1, 10'000), 1) << "no news within ten seconds";
    auto heard = watch_->next();
    if (!heard || !*heard) return {Kind::cannot_tell, -1, 0, "nothing"};
    return **heard;
  }
  static Number number_of(const UniqueFd& file) {
    struct stat found {};
    EXPECT_EQ(::fstat(file.get(), &found), 0);
    return found.st_ino;
  }

  testing::TempDir work_;
  std::filesystem::path folder_ = work_ / "mount";
  std::optional<CloseWatch> watch_;
};

}  // namespace

TEST_F(CloseWatchTest, TellsClosesOfWritersAtTheTop) {
  ASSERT_TRUE(watch_->watch());
  ASSERT_EQ(next().kind, Kind::watching);
  open("written").reset();
  open("written", O_RDONLY).reset();
  std::filesystem::create_directory(folder_ / "below");
  open("below/file").reset();
  open("last").reset();
  auto first = next();
  EXPECT_EQ(first.kind, Kind::closed);
  EXPECT_EQ(first.name, "written");
  EXPECT_EQ(next().name, "last") << "nothing of a reader, of a folder";
}

TEST_F(CloseWatchTest, AFileIsFreeWhenItsLastWriterIsGone) {
  ASSERT_TRUE(watch_->watch());
  ASSERT_EQ(next().kind, Kind::watching);
  auto first = open("shared");
  auto second = open("shared");
  auto reader = open("shared", O_RDONLY);
  Number number = number_of(reader);
  first.reset();
  ASSERT_EQ(next().kind, Kind::closed);
  ASSERT_TRUE(watch_->look_at("shared"));
  // An answer about another file comes first: this one is looked at again and again.
  open("other").reset();
  ASSERT_EQ(next().kind, Kind::closed);
  ASSERT_TRUE(watch_->look_at("other"));
  EXPECT_EQ(next().name, "other");
  second.reset();
  ASSERT_EQ(next().kind, Kind::closed);
  auto free = next();
  EXPECT_EQ(free.kind, Kind::free);
  EXPECT_EQ(free.name, "shared");
  EXPECT_EQ(free.number, number);
}

TEST_F(CloseWatchTest, WhatIsNoFileIsSaidSo) {
  ASSERT_TRUE(watch_->watch());
  ASSERT_EQ(next().kind, Kind::watching);
  std::filesystem::create_directory(folder_ / "folder");
  std::filesystem::create_symlink("folder", folder_ / "link");
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  for (const char* name : {"nothing", "folder", "link", "fifo"}) {
    ASSERT_TRUE(watch_->look_at(name));
    auto news = next();
    EXPECT_EQ(news.kind, Kind::no_file) << name;
    EXPECT_EQ(news.name, name);
  }
}

TEST_F(CloseWatchTest, WithoutAWatchLeasesAreAskedForAllTheSame) {
  std::filesystem::rename(folder_, work_ / "elsewhere");
  ASSERT_TRUE(watch_->watch());
  auto answer = next();
  EXPECT_EQ(answer.kind, Kind::not_had);
  EXPECT_EQ(answer.error, ENOENT);
  std::filesystem::rename(work_ / "elsewhere", folder_);
  ASSERT_TRUE(watch_->watch());
  EXPECT_EQ(next().kind, Kind::watching);
}

TEST_F(CloseWatchTest, ItsEndIsSeen) {
  ::kill(watch_->pid(), SIGKILL);
  pollfd news{watch_->fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&news, 1, 10'000), 1);
  EXPECT_FALSE(watch_->next());
}

// More names than the socket between the two holds: what does not fit is to be asked again.
TEST_F(CloseWatchTest, ManyQuestionsAreAllAnswered) {
  ASSERT_TRUE(watch_->watch());
  ASSERT_EQ(next().kind, Kind::watching);
  constexpr int kFiles = 3000;
  for (int i = 0; i < kFiles; ++i) open(std::to_string(i), O_RDONLY | O_CREAT).reset();
  int asked = 0, answered = 0;
  while (answered < kFiles) {
    while (asked < kFiles && watch_->look_at(std::to_string(asked))) ++asked;
    auto news = next();
    ASSERT_EQ(news.kind, Kind::free);
    ++answered;
  }
}

}  // namespace hitfs::fs
