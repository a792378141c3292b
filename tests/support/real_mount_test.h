#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "tests/support/real_processes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

// A mount with the real worker, daemon and store for each test; what hangs is ended after `limit`.
class RealMountTest : public ::testing::Test {
 protected:
  explicit RealMountTest(std::chrono::seconds limit = std::chrono::seconds(120)) : limit_(limit) {}

  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    daemon_.emplace(store_);
    ASSERT_TRUE(daemon_->ready());
    mount_.emplace(real_worker(store_), limit_);
    ASSERT_EQ(mount_->failure(), "");
  }
  void TearDown() override { mount_.reset(); }

  std::chrono::seconds limit_;
  TempDir work_;
  std::filesystem::path store_ = work_ / "store";
  std::optional<DaemonProcess> daemon_;
  std::optional<TestMount> mount_;
};

}  // namespace hitfs::testing
