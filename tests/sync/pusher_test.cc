#include "sync/pusher.h"

#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "store/access_log.h"
#include "tests/support/daemon_parts.h"

namespace hitfs {
namespace {

using testing::DaemonParts;

const Key kKey{"", "flat", "1f3a"};

std::string remote_name(const Key& key) { return RemoteKey::of(key, 0, "nx").name; }

class PusherTest : public ::testing::Test {
 protected:
  void start(Pusher::Options options = {}) {
    options.first_pause = Milliseconds(1);
    pusher_ = std::make_unique<Pusher>(
        Pusher::Parts{*parts_.store, parts_.remote_set(), *parts_.scratch, parts_.sessions}, options);
  }
  // A wait that lasts until then hangs.
  const Deadline far_away_ = Deadline::after(std::chrono::minutes(2));
  // True once nothing waits; only a hang ends it otherwise.
  bool drained() { return pusher_->wait_until_empty(far_away_, {}); }

  DaemonParts parts_;
  std::unique_ptr<Pusher> pusher_;
};

TEST_F(PusherTest, ACommittedEntryReachesTheRemote) {
  auto& remote = parts_.add_remote("team");
  parts_.commit_file(kKey, "hello");
  start();
  ASSERT_TRUE(drained());
  EXPECT_EQ(remote.get(remote_name(kKey)), "hello");
  EXPECT_EQ(parts_.store->access_log().history(kKey, 1)->front().kind, AccessKind::pushed);
}

TEST_F(PusherTest, AnEntryCommittedLaterWakesThePusher) {
  auto& remote = parts_.add_remote("team");
  start();
  parts_.commit_file(kKey, "hello");
  pusher_->wake();
  ASSERT_TRUE(drained());
  EXPECT_EQ(remote.get(remote_name(kKey)), "hello");
}

TEST_F(PusherTest, AFailureThatMayPassIsTriedAgain) {
  auto& remote = parts_.add_remote("team");
  std::atomic<int> tries{0};
  remote.before = [&](const auto&, auto&) -> Status {
    if (++tries < 3) return Error{Code::unavailable, "502"};
    return Ok{};
  };
  auto id = parts_.sessions.begin();
  parts_.commit_file(kKey, "hello");
  start();
  ASSERT_TRUE(drained());
  EXPECT_EQ(tries, 3);
  auto counters = *parts_.sessions.end(id);
  EXPECT_EQ(counters.pushed, 1u);
  EXPECT_EQ(counters.failed, 1u) << "one key, however often";
}

TEST_F(PusherTest, ARefusalIsParkedShownAndTellsTheUsersCommand) {
  auto& remote = parts_.add_remote("team");
  remote.before = [](const auto&, auto&) -> Status { return Error{Code::no_space, "413"}; };
  auto out = (parts_.dir / "alarm").string();
  parts_.commit_file(kKey, "hello");
  start({.on_push_failed = "echo \"$HITFS_KEY $HITFS_WHY\" > " + out});
  ASSERT_TRUE(drained());
  auto parked = parts_.store->push_queue().parked(10);
  ASSERT_TRUE(parked);
  ASSERT_EQ(parked->size(), 1u);
  EXPECT_EQ(parked->front().why, "413");
  EXPECT_EQ(remote.calls("store"), 1);
  pusher_.reset();  // ends the thread that runs the command
  EXPECT_EQ(io::read_file(out, 1000).value(), "flat/1f3a 413\n");
}

TEST_F(PusherTest, AnUnparkedPushIsTriedAgain) {
  auto& remote = parts_.add_remote("team");
  std::atomic<bool> refuse{true};
  remote.before = [&](const auto&, auto&) -> Status {
    if (refuse) return Error{Code::permission_denied, "403"};
    return Ok{};
  };
  parts_.commit_file(kKey, "hello");
  start();
  ASSERT_TRUE(drained());
  refuse = false;
  EXPECT_EQ(parts_.store->push_queue().unpark().value(), 1u);
  EXPECT_TRUE(parts_.remote_set().writable().front()->write_denied);
  pusher_->wake();
  ASSERT_TRUE(drained());
  EXPECT_EQ(remote.get(remote_name(kKey)), "hello");
  EXPECT_FALSE(parts_.remote_set().writable().front()->write_denied);
}

TEST_F(PusherTest, ARefusalOfOneKeyIsNoLackOfRights) {
  auto& remote = parts_.add_remote("team");
  remote.before = [](const auto&, auto&) -> Status { return Error{Code::no_space, "413"}; };
  parts_.commit_file(kKey, "hello");
  start();
  ASSERT_TRUE(drained());
  EXPECT_EQ(parts_.store->push_queue().stats().parked, 1u);
  EXPECT_FALSE(parts_.remote_set().writable().front()->write_denied);
}

TEST_F(PusherTest, WhatTheRemoteHasAlreadyCountsAsPushed) {
  auto& remote = parts_.add_remote("team");
  remote.store_result = StoreResult::already_there;
  auto id = parts_.sessions.begin();
  parts_.commit_file(kKey, "hello");
  start();
  ASSERT_TRUE(drained());
  EXPECT_EQ(parts_.sessions.end(id)->pushed, 1u);
}

TEST_F(PusherTest, AReplacedEntryIsPushedOnceInItsNewForm) {
  auto& remote = parts_.add_remote("team");
  parts_.commit_file(kKey, "old");
  parts_.commit_file(kKey, "new");
  start();
  ASSERT_TRUE(drained());
  EXPECT_EQ(remote.get(remote_name(kKey)), "new");
  EXPECT_EQ(remote.calls("store"), 1);
}

TEST_F(PusherTest, InCiTheSmallestGoesFirst) {
  auto& remote = parts_.add_remote("team");
  Key large{"", "flat", "large"};
  Key small{"", "flat", "small"};
  parts_.commit_file(large, std::string(100'000, 'x'));
  parts_.commit_file(small, "x");
  start({.order = PushQueue::Order::smallest_first});
  ASSERT_TRUE(drained());
  EXPECT_EQ(remote.stored_order(), (std::vector{remote_name(small), remote_name(large)}));
}

TEST_F(PusherTest, AQueueThatCannotBeEmptiedEndsTheWaitInTime) {
  auto& remote = parts_.add_remote("team");
  remote.before = [](const auto&, auto&) -> Status { return Error{Code::unavailable, "502"}; };
  parts_.commit_file(kKey, "hello");
  start();
  EXPECT_FALSE(pusher_->wait_until_empty(Deadline::after(Milliseconds(50)), {}));
}

// What ends the wait of a build: it waits for a first try and for a retry, not for retries without end.
TEST_F(PusherTest, ARemoteWherePushesFailAgainIsNotWaitedFor) {
  auto& remote = parts_.add_remote("team");
  std::atomic<bool> down{true};
  remote.before = [&](const auto&, auto&) -> Status {
    if (down) return Error{Code::unavailable, "502"};
    return Ok{};
  };
  parts_.commit_file(kKey, "hello");
  start();
  EXPECT_FALSE(pusher_->wait_until_empty(far_away_, {}, Pusher::Wait::while_promising));
  EXPECT_GE(remote.calls("store"), 2);
  EXPECT_EQ(parts_.store->push_queue().stats().waiting + parts_.store->push_queue().stats().running, 1u);

  down = false;
  ASSERT_TRUE(drained());
  auto& fails_again = parts_.remote_set().writable().front()->fails_again;
  EXPECT_FALSE(fails_again);
  fails_again = true;
  Key later{"", "flat", "2f3a"};
  parts_.commit_file(later, "hello");
  pusher_->wake();
  EXPECT_TRUE(pusher_->wait_until_empty(far_away_, {}, Pusher::Wait::while_promising)) << "what was never tried";
  EXPECT_FALSE(fails_again);
}

TEST_F(PusherTest, ARemoteThatAnswersNoProbeIsNotWaitedFor) {
  auto& remote = parts_.add_remote("team");
  remote.before = [](const auto& verb, auto& call) -> Status {
    if (verb == "store") call.trouble = Trouble::connect;
    return Error{Code::unavailable, "refused"};
  };
  parts_.commit_file(kKey, "hello");
  start();
  EXPECT_FALSE(pusher_->wait_until_empty(far_away_, {}, Pusher::Wait::while_promising));
  EXPECT_GE(remote.calls("contains"), 1) << "not before its first probe";
  EXPECT_FALSE(pusher_->promising());
}

// A few uploads fit between two pauses; the end of a build does not wait until each was tried once.
TEST_F(PusherTest, ARemoteThatAsksForPauseAfterPauseIsNotWaitedFor) {
  auto& remote = parts_.add_remote("team");
  remote.before = [](const auto&, auto& call) -> Status {
    call.trouble = Trouble::paced;
    call.retry_after = Milliseconds(500);
    return Error{Code::unavailable, "429"};
  };
  constexpr int kJobs = 40;
  for (int i = 0; i < kJobs; ++i) parts_.commit_file(Key{"", "flat", std::to_string(i)}, "hello");
  start();
  EXPECT_FALSE(pusher_->wait_until_empty(far_away_, {}, Pusher::Wait::while_promising));
  EXPECT_LT(remote.calls("store"), kJobs);
}

TEST_F(PusherTest, ALongPauseOfARemoteIsNotWaitedFor) {
  auto& remote = parts_.add_remote("team");
  remote.before = [](const auto&, auto& call) -> Status {
    call.trouble = Trouble::paced;
    call.retry_after = std::chrono::minutes(10);
    return Error{Code::unavailable, "429"};
  };
  parts_.commit_file(kKey, "hello");
  start();
  EXPECT_FALSE(pusher_->wait_until_empty(far_away_, {}, Pusher::Wait::while_promising));
  EXPECT_EQ(remote.calls("store"), 1);
}

}  // namespace
}  // namespace hitfs
