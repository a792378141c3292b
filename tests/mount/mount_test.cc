// Mounting itself, as root and as an ordinary user.
#include "fs/mounting/mount.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "fs/mounting/mount_table.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

namespace stdfs = std::filesystem;

class MountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    stdfs::create_directory(place_);
  }
  [[nodiscard]] bool mounted() const { return fs::find_mount(place_).value().has_value(); }

  TempDir work_;
  stdfs::path place_ = work_ / "place with space";
};

constexpr uid_t kNobody = 65534;

// Turns this process into an ordinary user for whom /dev/fuse is open, in mounts of its own. "" or what failed.
std::string become_ordinary_user(const stdfs::path& work) {
  if (::unshare(CLONE_NEWNS) < 0) return "unshare";
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return "make mounts private";
  auto devices = work / "devices";
  stdfs::create_directory(devices);
  if (::mount("devices", devices.c_str(), "tmpfs", 0, nullptr) < 0) return "mount a tmpfs";
  auto device = devices / "fuse";
  if (::mknod(device.c_str(), S_IFCHR | 0666, ::makedev(10, 229)) < 0 || ::chmod(device.c_str(), 0666) < 0)
    return "mknod";
  if (::mount(device.c_str(), "/dev/fuse", nullptr, MS_BIND, nullptr) < 0) return "bind /dev/fuse";
  if (::setgroups(0, nullptr) < 0 || ::setgid(kNobody) < 0 || ::setuid(kNobody) < 0) return "become nobody";
  return "";
}

// Saves, reads, kills the worker, and reads again; "" or what failed.
std::string use_a_mount() {
  TestMount mount;
  if (!mount.failure().empty()) return mount.failure();
  std::ofstream(mount / "file") << "of a user";
  mount.kill_worker();
  if (!mount.start_worker()) return "no second worker";
  std::string text;
  std::getline(std::ifstream(mount / "file"), text);
  if (text != "of a user") return "wrong bytes: " + text;
  struct stat info {};
  if (::stat((mount / "file").c_str(), &info) < 0 || info.st_uid != ::geteuid()) return "wrong owner";
  if (auto gone = mount.mount().unmount(); !gone) return gone.error().message;
  if (stdfs::exists(mount / "file")) return "still mounted";
  return mount.wait_for_worker() == 0 ? "" : "the worker did not end";
}

int tell(const stdfs::path& report, const std::string& failed) {
  std::ofstream(report) << failed;
  return failed.empty() ? 0 : 1;
}

std::string told(const stdfs::path& report) {
  std::string text;
  std::getline(std::ifstream(report), text);
  return text;
}

}  // namespace

TEST_F(MountTest, AMissingPlaceAndAFileAreRefused) {
  auto missing = fs::Mount::mount({.mount_point = work_ / "missing"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::invalid_argument);
  EXPECT_NE(missing.error().message.find("create the directory"), std::string::npos) << missing.error().message;
  std::ofstream(work_ / "file") << "x";
  auto file = fs::Mount::mount({.mount_point = work_ / "file"});
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("no directory"), std::string::npos) << file.error().message;
}

TEST_F(MountTest, APlaceThatIsNotEmptyNeedsForce) {
  std::ofstream(place_ / "hidden") << "x";
  auto refused = fs::Mount::mount({.mount_point = place_});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("--force"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(mounted());
  {
    auto forced = fs::Mount::mount({.mount_point = place_, .force = true});
    ASSERT_TRUE(forced) << forced.error().message;
    EXPECT_TRUE(mounted());
  }
  EXPECT_FALSE(mounted());
  EXPECT_TRUE(stdfs::exists(place_ / "hidden"));
}

TEST_F(MountTest, ALinkToTheParentIsResolvedAndASlashAtTheEndIsFine) {
  stdfs::create_symlink(work_.path(), work_ / "link");
  auto mount = fs::Mount::mount({.mount_point = (work_ / "link/place with space").string() + "/"});
  ASSERT_TRUE(mount) << mount.error().message;
  EXPECT_EQ(mount->mount_point(), stdfs::canonical(work_.path()) / "place with space");
  EXPECT_TRUE(mounted());
  EXPECT_TRUE(mount->unmount());
  EXPECT_FALSE(mounted());
  EXPECT_TRUE(mount->unmount()) << "twice is fine";
}

TEST_F(MountTest, ADeadMountIsTakenAway) {
  auto dead = fs::Mount::mount({.mount_point = place_});
  ASSERT_TRUE(dead);
  dead->abort();  // as after the death of a supervisor
  EXPECT_EQ(::access((place_ / "x").c_str(), F_OK), -1);
  EXPECT_EQ(errno, ENOTCONN);
  auto mount = fs::Mount::mount({.mount_point = place_});
  ASSERT_TRUE(mount) << mount.error().message;
  // The dead one no longer takes away what is not its own.
  EXPECT_TRUE(dead->unmount());
  EXPECT_TRUE(mounted());
}

TEST_F(MountTest, AServedMountIsNotMountedOver) {
  TestMount served;
  ASSERT_EQ(served.failure(), "");
  auto second = fs::Mount::mount({.mount_point = served.root()});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("unmount it first"), std::string::npos) << second.error().message;
}

TEST_F(MountTest, AMountThatNobodyServesIsNamedAndNotWaitedFor) {
  TestMount stopped;
  ASSERT_EQ(stopped.failure(), "");
  stopped.kill_worker();
  auto second = fs::Mount::mount({.mount_point = stopped.root()});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::unavailable);
  EXPECT_NE(second.error().message.find("fusermount3 -uz"), std::string::npos) << second.error().message;
}

TEST_F(MountTest, AnotherMountAtThePlaceIsNotTakenAway) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may mount a tmpfs";
  auto mount = fs::Mount::mount({.mount_point = place_});
  ASSERT_TRUE(mount);
  ASSERT_EQ(::umount2(place_.c_str(), MNT_DETACH), 0);
  ASSERT_EQ(::mount("other", place_.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_TRUE(mount->unmount());
  EXPECT_TRUE(mounted());
  ::umount2(place_.c_str(), MNT_DETACH);
}

TEST(UserMountTest, AnOrdinaryUserMountsThroughFusermount) {
  if (::geteuid() != 0) {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    EXPECT_EQ(use_a_mount(), "");
    return;
  }
  if (::access("/usr/bin/fusermount3", X_OK) != 0) GTEST_SKIP() << "no fusermount3";
  TempDir work;
  stdfs::permissions(work.path(), stdfs::perms(0777));
  auto report = work / "report";
  TestProcess user([&] {
    auto failed = become_ordinary_user(work.path());
    return failed.empty() ? tell(report, use_a_mount()) : 77;
  });
  auto code = user.wait();
  if (code == 77) GTEST_SKIP() << "no mount namespace of its own here";
  EXPECT_EQ(code, 0) << told(report);
}

TEST(UserMountTest, AllowOtherWithoutTheLineInFuseConfNamesTheRemedy) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs a mount namespace of its own";
  TempDir work;
  stdfs::permissions(work.path(), stdfs::perms(0777));
  auto report = work / "report";
  std::ofstream(work / "fuse.conf") << "#user_allow_other\n";
  TestProcess user([&] {
    if (::unshare(CLONE_NEWNS) < 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0 ||
        ::mount((work / "fuse.conf").c_str(), "/etc/fuse.conf", nullptr, MS_BIND, nullptr) < 0 ||
        !become_ordinary_user(work.path()).empty()) {
      return 77;
    }
    TempDir place;
    auto refused = fs::Mount::mount({.mount_point = place.path(), .allow_other = true});
    if (refused) return tell(report, "it was mounted");
    bool clear = refused.error().code == Code::permission_denied &&
                 refused.error().message.find("user_allow_other in /etc/fuse.conf") != std::string::npos;
    return tell(report, clear ? "" : refused.error().message);
  });
  auto code = user.wait();
  if (code == 77) GTEST_SKIP() << "no mount namespace of its own here";
  EXPECT_EQ(code, 0) << told(report);
}

}  // namespace hitfs::testing
