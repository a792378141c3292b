// What the sections of pjdfstest ask for, in our own words: each call is made in a folder of this machine's own file
// system and in a mount, and must end alike. Where a mount promises otherwise, the call says so ("=> RESULT");
// fs/README.md lists these with their reasons.
#include <gtest/gtest.h>
#include <unistd.h>

#include <iostream>

#include "tests/posix/calls.h"
#include "tests/posix/sections.h"
#include "tests/support/real_mount_test.h"

namespace hitfs::testing {

namespace {

constexpr auto kOpen = std::filesystem::perms(0755);

class PosixTest : public RealMountTest {
 protected:
  // Makes the calls in both folders.
  void compare(const std::string& name, const char* section) {
    auto calls = parse_calls(section);
    auto plain = work_ / name;
    auto mounted = mount_->root() / name;
    for (const auto& folder : {plain, mounted}) ASSERT_TRUE(std::filesystem::create_directory(folder));
    auto expected = make_calls(plain, calls);
    auto seen = make_calls(mounted, calls);
    ASSERT_EQ(expected.size(), calls.size());
    ASSERT_EQ(seen.size(), calls.size()) << "the mount hung or died at: " << calls[seen.size()].words;
    int promised = 0;
    for (size_t i = 0; i < calls.size(); ++i) {
      promised += calls[i].promised.has_value();
      EXPECT_EQ(seen[i], calls[i].promised.value_or(expected[i])) << name << ", call " << i << ": " << calls[i].words;
    }
    std::cout << "[ drill    ] " << name << ": " << calls.size() << " calls, " << promised
              << " of them with a promise of their own\n";
    EXPECT_GT(calls.size(), 5u);
  }
};

}  // namespace

TEST_F(PosixTest, CallsEndAsInAnyFolder) {
  const std::vector<std::pair<const char*, const char*>> all = {
      {"open", sections::kOpen},
      {"open-links", sections::kOpenOfLinks},
      {"read-write", sections::kReadAndWrite},
      {"truncate", sections::kTruncate},
      {"directories", sections::kDirectories},
      {"unlink", sections::kUnlink},
      {"rename-types", sections::kRenameTypes},
      {"rename-refuses", sections::kRenameRefuses},
      {"rename-open", sections::kRenameOpen},
      {"symlinks", sections::kSymbolicLinks},
      {"long-names", sections::kLongNames},
      {"modes", sections::kModes},
      {"times", sections::kTimes},
  };
  for (const auto& [name, section] : all) compare(name, section);
}

// The kernel checks permissions by the modes that the mount shows; everything in it belongs to one user.
TEST(PosixPermissionsTest, AreAsInAnyFolder) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  if (::geteuid() != 0) GTEST_SKIP() << "needs to become two users";
  constexpr uid_t kOwner = 12345, kOther = 23456;
  TempDir work;
  DaemonProcess daemon(work / "store");
  ASSERT_TRUE(daemon.ready());
  TestMount mount(real_worker(work / "store", kOwner), std::chrono::seconds(120), true);
  ASSERT_EQ(mount.failure(), "");
  auto plain = work / "plain";
  std::filesystem::create_directory(plain);
  ASSERT_EQ(::chown(plain.c_str(), kOwner, kOwner), 0);
  for (const auto& folder : {work.path(), mount.work().path()}) std::filesystem::permissions(folder, kOpen);
  size_t refused = 0;
  const std::vector<std::pair<const char*, uid_t>> scripts = {{sections::kPermissionsOfOwner, kOwner},
                                                              {sections::kPermissionsOfOthers, kOther},
                                                              {sections::kPermissionsEnd, kOwner}};
  for (const auto& [section, user] : scripts) {
    auto calls = parse_calls(section);
    auto expected = make_calls(plain, calls, user);
    auto seen = make_calls(mount.root(), calls, user);
    ASSERT_EQ(expected.size(), calls.size());
    ASSERT_EQ(seen.size(), calls.size());
    for (size_t i = 0; i < calls.size(); ++i) {
      EXPECT_EQ(seen[i], expected[i]) << "user " << user << ", call " << i << ": " << calls[i].words;
      refused += seen[i] == "EACCES" || seen[i] == "EPERM";
    }
  }
  std::cout << "[ drill    ] " << refused << " calls were refused\n";
  EXPECT_GT(refused, 20u);
}

// Promised otherwise than elsewhere: one test for each line of the list in fs/README.md.
TEST_F(PosixTest, NoHardLinks) { compare("f", sections::kHardLinks); }
TEST_F(PosixTest, NoSpecialFiles) { compare("f", sections::kSpecialFiles); }
TEST_F(PosixTest, NoExchange) { compare("f", sections::kExchange); }
TEST_F(PosixTest, NoExtendedAttributes) { compare("f", sections::kExtendedAttributes); }
TEST_F(PosixTest, OwnersStay) { compare("f", sections::kOwners); }
TEST_F(PosixTest, NoSetuidBits) { compare("f", sections::kSetuid); }
TEST_F(PosixTest, NoTimeOfStatusChange) { compare("f", sections::kStatusTime); }
TEST_F(PosixTest, NoPreallocation) { compare("f", sections::kPreallocation); }
TEST_F(PosixTest, NoUnnamedFiles) { compare("f", sections::kUnnamedFiles); }
TEST_F(PosixTest, NoLinkCounts) { compare("f", sections::kLinkCounts); }

}  // namespace hitfs::testing
