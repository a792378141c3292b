// The parts of base that start processes and connect them: subprocess, socket, file_lock, mount_lock.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "store/base/file_lock.h"
#include "store/base/io.h"
#include "store/base/socket.h"
#include "store/base/subprocess.h"
#include "store/mount_lock.h"
#include "tests/support/temp_dir.h"

namespace hitfs {

namespace {

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

SpawnOptions shell(const std::string& script) {
  SpawnOptions options;
  options.arguments = {"/bin/sh", "-c", script};
  options.environment = {"PATH=/usr/bin:/bin"};
  return options;
}

}  // namespace

TEST(SubprocessTest, DescriptorsArriveByPosition) {
  testing::TempDir folder;
  auto first = io::create(folder / "first", "test"), second = io::create(folder / "second", "test");
  auto options = shell("echo one >&3; echo two >&4; [ ! -e /proc/self/fd/5 ]");
  options.descriptors = {second->get(), first->get()};
  auto child = spawn(options);
  ASSERT_TRUE(child) << child.error().message;
  EXPECT_EQ(wait_for(*child), 0) << "nothing else may be open";
  EXPECT_EQ(*io::read_file(folder / "second", 100), "one\n");
  EXPECT_EQ(*io::read_file(folder / "first", 100), "two\n");
}

TEST(SubprocessTest, DescriptorsThatSwapNumbersBothArrive) {
  testing::TempDir folder;
  auto one = io::create(folder / "one", "test"), two = io::create(folder / "two", "test");
  // The numbers that the child wants are taken by the other one.
  UniqueFd at_four(::fcntl(one->get(), F_DUPFD_CLOEXEC, 4)), at_three(::fcntl(two->get(), F_DUPFD_CLOEXEC, 3));
  auto options = shell("echo a >&3; echo b >&4");
  options.descriptors = {at_four.get(), at_three.get()};
  auto child = spawn(options);
  ASSERT_TRUE(child);
  EXPECT_EQ(wait_for(*child), 0);
  EXPECT_EQ(*io::read_file(folder / "one", 100), "a\n");
  EXPECT_EQ(*io::read_file(folder / "two", 100), "b\n");
}

TEST(SubprocessTest, ProgramThatCannotRunIsAnErrorNotAChild) {
  SpawnOptions options;
  options.arguments = {"/no/such/program"};
  auto child = spawn(options);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Code::not_found);
  EXPECT_NE(child.error().message.find("/no/such/program"), std::string::npos);
  options.arguments = {"/etc/passwd"};
  EXPECT_EQ(spawn(options).error().code, Code::permission_denied);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "and nobody is left to be waited for";
}

TEST(SubprocessTest, SignalsStartAtTheirDefault) {
  ::signal(SIGPIPE, SIG_IGN);
  auto child = spawn(shell("kill -PIPE $$; exit 0"));
  ASSERT_TRUE(child);
  EXPECT_EQ(wait_for(*child), -SIGPIPE);
}

TEST(SubprocessTest, OnlyTheGivenEnvironmentIsThere) {
  ::setenv("HITFS_TEST_SECRET", "x", 1);
  auto child = spawn(shell("[ -z \"$HITFS_TEST_SECRET\" ]"));
  ASSERT_TRUE(child);
  EXPECT_EQ(wait_for(*child), 0);
  for (const auto& variable : environment_without({"HITFS_TEST_SECRET"})) {
    EXPECT_FALSE(variable.starts_with("HITFS_TEST_SECRET")) << variable;
  }
  ::unsetenv("HITFS_TEST_SECRET");
}

TEST(SocketTest, SocketFileOfADeadProcessIsReplacedAndItsModeIsPrivate) {
  testing::TempDir folder;
  auto path = folder / "s";
  { ASSERT_TRUE(listen_unix(path, UnixSocket::stream)); }
  EXPECT_EQ(connect_unix(path, UnixSocket::stream).error().code, Code::unavailable);
  auto again = listen_unix(path, UnixSocket::stream);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(connect_unix(path, UnixSocket::stream));
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(SocketTest, PathsLongerThanAnAddressWork) {
  testing::TempDir folder;
  auto deep = folder / std::string(120, 'd');
  ASSERT_TRUE(io::make_directories(deep, 0700, "test"));
  auto listening = listen_unix(deep / "s", UnixSocket::messages);
  ASSERT_TRUE(listening) << listening.error().message;
  EXPECT_TRUE(connect_unix(deep / "s", UnixSocket::messages));
}

TEST(SocketTest, Addresses) {
  EXPECT_EQ(TcpAddress::parse("127.0.0.1:80")->host, "127.0.0.1");
  EXPECT_EQ(TcpAddress::parse("[::1]:80")->host, "::1");
  EXPECT_EQ(TcpAddress::parse("[::1]:80")->text(), "[::1]:80");
  for (const char* wrong : {"", "80", ":80", "host", "host:", "host:x", "host:70000", "::1:80", "host:80 "}) {
    auto parsed = TcpAddress::parse(wrong);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_NE(parsed.error().message.find("HOST:PORT"), std::string::npos);
  }
}

TEST(SocketTest, TakenPortIsUnavailable) {
  auto taken = listen_tcp({"127.0.0.1", 0});
  ASSERT_TRUE(taken);
  auto again = listen_tcp({"127.0.0.1", *local_port(taken->get())});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::unavailable);
}

TEST(FileLockTest, OneHolderAndAskingDisturbsNobody) {
  testing::TempDir folder;
  auto path = folder / "lock";
  EXPECT_FALSE(is_locked(path));
  {
    auto lock = FileLock::acquire(path);
    ASSERT_TRUE(lock);
    EXPECT_TRUE(is_locked(path));
    EXPECT_EQ(FileLock::acquire(path).error().code, Code::unavailable);
    // A child that we start does not keep it.
    auto child = spawn(shell("exec sleep 0"));
    ASSERT_TRUE(child);
    wait_for(*child);
  }
  EXPECT_FALSE(is_locked(path));
  EXPECT_TRUE(FileLock::acquire(path));
}

TEST(MountLockTest, SaysWhichMountsLive) {
  testing::TempDir folder;
  StorePaths store{folder / "store"};
  EXPECT_FALSE(mount_lives(store, "m"));
  auto held = hold_mount_lock(store, "m");
  ASSERT_TRUE(held) << held.error().message;
  EXPECT_TRUE(mount_lives(store, "m"));
  EXPECT_FALSE(mount_lives(store, "other"));
  EXPECT_NE(hold_mount_lock(store, "m").error().message.find("--name"), std::string::npos);
}

}  // namespace hitfs
