// What the sections of pjdfstest ask for, in our own words: each call is made in a folder of this machine's own file
// system and in a mount, and must end alike. Where a mount promises otherwise, the call says so ("=> RESULT");
// fs/README.md lists these with their reasons.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/posix/calls.h"
#include "tests/posix/sections.h"
#include "tests/support/real_processes.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

class PosixTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    daemon_.emplace(store_);
    ASSERT_TRUE(daemon_->ready());
    mount_.emplace(real_worker(store_));
    ASSERT_EQ(mount_->failure(), "");
  }
  void TearDown() override { mount_.reset(); }

  // Makes the calls in both folders.
  void compare(const char* section) {
    auto calls = parse_calls(section);
    auto plain = work_ / "plain";
    std::filesystem::create_directory(plain);
    auto expected = make_calls(plain, calls);
    auto seen = make_calls(mount_->root(), calls);
    ASSERT_EQ(expected.size(), calls.size());
    ASSERT_EQ(seen.size(), calls.size()) << "the mount hung or died at: " << calls[seen.size()].words;
    int promised = 0;
    for (size_t i = 0; i < calls.size(); ++i) {
      promised += calls[i].promised.has_value();
      EXPECT_EQ(seen[i], calls[i].promised.value_or(expected[i])) << "call " << i << ": " << calls[i].words;
    }
    std::cout << "[ drill    ] " << calls.size() << " calls, " << promised << " of them with a promise of their own\n";
    EXPECT_GT(calls.size(), 5u);
  }

  TempDir work_;
  std::filesystem::path store_ = work_ / "store";
  std::optional<DaemonProcess> daemon_;
  std::optional<TestMount> mount_;
};

}  // namespace

TEST_F(PosixTest, Open) { compare(sections::kOpen); }
TEST_F(PosixTest, OpenOfLinks) { compare(sections::kOpenOfLinks); }
TEST_F(PosixTest, ReadAndWrite) { compare(sections::kReadAndWrite); }
TEST_F(PosixTest, Truncate) { compare(sections::kTruncate); }
TEST_F(PosixTest, MakeAndRemoveDirectories) { compare(sections::kDirectories); }
TEST_F(PosixTest, Unlink) { compare(sections::kUnlink); }
TEST_F(PosixTest, RenameOfEachTypeOntoEachType) { compare(sections::kRenameTypes); }
TEST_F(PosixTest, RenameRefuses) { compare(sections::kRenameRefuses); }
TEST_F(PosixTest, RenameKeepsWhatIsOpen) { compare(sections::kRenameOpen); }
TEST_F(PosixTest, SymbolicLinks) { compare(sections::kSymbolicLinks); }
TEST_F(PosixTest, LongNames) { compare(sections::kLongNames); }
TEST_F(PosixTest, Modes) { compare(sections::kModes); }
TEST_F(PosixTest, Times) { compare(sections::kTimes); }
// Promised otherwise than elsewhere: one test for each line of the list in fs/README.md.
TEST_F(PosixTest, NoHardLinks) { compare(sections::kHardLinks); }
TEST_F(PosixTest, NoSpecialFiles) { compare(sections::kSpecialFiles); }
TEST_F(PosixTest, NoExchange) { compare(sections::kExchange); }
TEST_F(PosixTest, NoExtendedAttributes) { compare(sections::kExtendedAttributes); }
TEST_F(PosixTest, OwnersStay) { compare(sections::kOwners); }
TEST_F(PosixTest, NoSetuidBits) { compare(sections::kSetuid); }
TEST_F(PosixTest, NoTimeOfStatusChange) { compare(sections::kStatusTime); }
TEST_F(PosixTest, NoPreallocation) { compare(sections::kPreallocation); }
TEST_F(PosixTest, NoUnnamedFiles) { compare(sections::kUnnamedFiles); }
TEST_F(PosixTest, NoLinkCounts) { compare(sections::kLinkCounts); }

}  // namespace hitfs::testing
