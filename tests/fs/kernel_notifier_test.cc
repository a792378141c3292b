#include "fs/edge/kernel_notifier.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <string>

namespace hitfs::fs {

namespace {

class KernelNotifierTest : public ::testing::Test {
 protected:
  KernelNotifierTest() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return;
    device_.reset(ends[0]);
    kernel_.reset(ends[1]);
    notifier_.emplace(std::move(NotifyProcess::start(device_.get()).value()));
  }
  // "CODE NUMBER NAME" of the next message.
  std::string next() {
    std::array<char, 512> message{};
    ssize_t got = ::recv(kernel_.get(), message.data(), message.size(), 0);
    fuse_out_header out{};
    std::memcpy(&out, message.data(), sizeof(out));
    if (got < static_cast<ssize_t>(sizeof(out)) || out.len != got || out.unique != 0) return "broken";
    uint64_t number = 0;
    std::memcpy(&number, message.data() + sizeof(out), sizeof(number));
    std::string text = std::to_string(out.error) + " " + std::to_string(number);
    if (out.error == FUSE_NOTIFY_INVAL_ENTRY) {
      text += std::string(" ") + (message.data() + sizeof(out) + sizeof(fuse_notify_inval_entry_out));
    }
    return text;
  }
  [[nodiscard]] bool silent() const {
    char byte;
    return ::recv(kernel_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
  }

  UniqueFd device_;
  UniqueFd kernel_;
  std::optional<QueuedNotifier> notifier_;
};

const std::string kEntry = std::to_string(FUSE_NOTIFY_INVAL_ENTRY);
const std::string kNumber = std::to_string(FUSE_NOTIFY_INVAL_INODE);

}  // namespace

TEST_F(KernelNotifierTest, TellsTheKernelInItsOwnFormat) {
  notifier_->invalidate_name(1, "a name");
  notifier_->invalidate_number(77);
  notifier_->invalidate_name(uint64_t{1} << 40, std::string(255, 'n'));
  EXPECT_EQ(next(), kEntry + " 1 a name");
  EXPECT_EQ(next(), kNumber + " 77");
  EXPECT_EQ(next(), kEntry + " 1099511627776 " + std::string(255, 'n'));
}

TEST_F(KernelNotifierTest, ANameInABusyDirectoryIsKeptBackAndNothingElse) {
  std::atomic<bool> busy = true;
  notifier_->set_busy_check([&](Number directory) { return directory == 1 && busy; });
  notifier_->invalidate_name(1, "kept");
  notifier_->invalidate_name(2, "elsewhere");
  notifier_->invalidate_number(1);
  EXPECT_EQ(next(), kEntry + " 2 elsewhere");
  EXPECT_EQ(next(), kNumber + " 1");
  EXPECT_TRUE(silent());
  busy = false;
  EXPECT_EQ(next(), kEntry + " 1 kept");
}

TEST_F(KernelNotifierTest, ANameIsNotKeptBackForEver) {
  notifier_->set_busy_check([](Number) { return true; });
  notifier_->invalidate_name(1, "name");
  EXPECT_EQ(next(), kEntry + " 1 name");
}

TEST_F(KernelNotifierTest, EndsWhileManyAreQueued) {
  constexpr int kMany = 50'000;
  for (int i = 0; i < kMany; ++i) notifier_->invalidate_name(1, std::to_string(i));
  notifier_.reset();  // nobody reads the other end: the queue is full and stays so
  int arrived = 0;
  for (; !silent(); ++arrived) next();
  EXPECT_LT(arrived, kMany);
}

}  // namespace hitfs::fs
