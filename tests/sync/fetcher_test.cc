#include "sync/fetcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "tests/support/daemon_parts.h"

namespace hitfs {
namespace {

using testing::DaemonParts;
using testing::FakeRemote;

const Key kKey{"", "flat", "1f3a"};
constexpr Milliseconds kLong = std::chrono::minutes(5);

std::string remote_name(const Key& key) { return RemoteKey::of(key, 0, "nx").name; }

class FetcherTest : public ::testing::Test {
 protected:
  Fetcher& fetcher() {
    if (!fetcher_) {
      Fetcher::Parts parts{*parts_.store, parts_.remote_set(), *parts_.scratch, parts_.sessions, parts_.timers};
      fetcher_ = std::make_unique<Fetcher>(parts, GuardLimits{.artifact_bytes = 1 << 20}, 8);
    }
    return *fetcher_;
  }
  std::future<FetchReply> ask(const Key& key, Milliseconds wait = kLong) {
    auto promise = std::make_shared<std::promise<FetchReply>>();
    auto future = promise->get_future();
    fetcher().fetch(key, wait, [promise](FetchReply reply) { promise->set_value(std::move(reply)); });
    return future;
  }
  FetchReply fetch(const Key& key) { return ask(key).get(); }
  // Every call waits until the promise is kept.
  static std::shared_ptr<std::promise<void>> hold(FakeRemote& remote) {
    auto release = std::make_shared<std::promise<void>>();
    remote.before = [released = release->get_future().share()](const auto&, auto&) {
      released.get();
      return Ok{};
    };
    return release;
  }
  ~FetcherTest() override { parts_.timers.stop(); }

  DaemonParts parts_;
  std::unique_ptr<Fetcher> fetcher_;
};

TEST_F(FetcherTest, WhatARemoteHasIsHereAfterwards) {
  auto& remote = parts_.add_remote("team");
  remote.put(remote_name(kKey), "hello");
  auto reply = fetch(kKey);
  EXPECT_EQ(reply.outcome, FetchOutcome::here);
  auto entry = parts_.store->reader().find(kKey);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->id, reply.entry_id);
  EXPECT_EQ(entry->bytes, 5u);
  EXPECT_EQ(entry->origin, "team");
  EXPECT_EQ(fetch(kKey).outcome, FetchOutcome::here);
  EXPECT_EQ(remote.calls("fetch"), 1);
}

TEST_F(FetcherTest, SaysHowFarAPullIs) {
  auto& remote = parts_.add_remote("team");
  remote.put(remote_name(kKey), "12345678");
  std::vector<Fetcher::Progress> halfway;
  remote.halfway = [&] { halfway = fetcher().under_way(); };
  EXPECT_EQ(fetch(kKey).outcome, FetchOutcome::here);
  ASSERT_EQ(halfway.size(), 1u);
  EXPECT_EQ(halfway[0].key, kKey);
  EXPECT_EQ(halfway[0].received_bytes, 4u);
  EXPECT_EQ(halfway[0].total_bytes, 8u);
  EXPECT_TRUE(fetcher().under_way().empty());
}

TEST_F(FetcherTest, NobodyHasIt) {
  auto& remote = parts_.add_remote("team");
  EXPECT_EQ(fetch(kKey).outcome, FetchOutcome::absent);
  EXPECT_EQ(remote.calls("fetch"), 1);
  auto history = parts_.store->access_log().history(kKey, 10);
  ASSERT_TRUE(history);
  ASSERT_EQ(history->size(), 1u);
  EXPECT_EQ(history->front().kind, AccessKind::miss);
  EXPECT_EQ(history->front().detail, "team");
}

TEST_F(FetcherTest, WithoutARemoteEveryUnknownNameIsAbsentAtOnce) {
  EXPECT_EQ(ask(kKey, Milliseconds(0)).get().outcome, FetchOutcome::absent);
}

TEST_F(FetcherTest, ARemoteThatOnlyTakesIsNotAsked) {
  auto& remote = parts_.add_remote("team", RemoteMode::write);
  remote.put(remote_name(kKey), "hello");
  EXPECT_EQ(fetch(kKey).outcome, FetchOutcome::absent);
  EXPECT_EQ(remote.calls("fetch"), 0);
}

TEST_F(FetcherTest, OneDownloadServesEverybodyWhoWaits) {
  auto& remote = parts_.add_remote("team");
  remote.put(remote_name(kKey), "hello");
  auto release = hold(remote);
  std::vector<std::future<FetchReply>> waiting;
  for (int i = 0; i < 20; ++i) waiting.push_back(ask(kKey));
  release->set_value();
  for (auto& one : waiting) EXPECT_EQ(one.get().outcome, FetchOutcome::here);
  EXPECT_EQ(remote.calls("fetch"), 1);
}

TEST_F(FetcherTest, WhoRunsOutOfPatienceIsAnsweredAndThePullGoesOn) {
  auto& remote = parts_.add_remote("team");
  remote.put(remote_name(kKey), "hello");
  auto release = hold(remote);
  EXPECT_EQ(ask(kKey, Milliseconds(1)).get().outcome, FetchOutcome::pending);
  auto patient = ask(kKey);
  release->set_value();
  EXPECT_EQ(patient.get().outcome, FetchOutcome::here);
  EXPECT_EQ(remote.calls("fetch"), 1);
}

TEST_F(FetcherTest, TheNextRemoteIsAskedWhenOneHasItNotOrFails) {
  auto& empty = parts_.add_remote("empty");
  auto& broken = parts_.add_remote("broken");
  auto& full = parts_.add_remote("full");
  broken.before = [](const auto&, auto&) -> Status { return Error{Code::unavailable, "502"}; };
  full.put(remote_name(kKey), "hello");
  EXPECT_EQ(fetch(kKey).outcome, FetchOutcome::here);
  EXPECT_EQ(empty.calls("fetch") + broken.calls("fetch") + full.calls("fetch"), 3);
}

TEST_F(FetcherTest, AFailureIsNotTakenForAMiss) {
  auto& broken = parts_.add_remote("broken");
  parts_.add_remote("empty");
  broken.before = [](const auto&, auto&) -> Status { return Error{Code::unavailable, "502"}; };
  auto id = parts_.sessions.begin();
  auto reply = fetch(kKey);
  EXPECT_EQ(reply.outcome, FetchOutcome::unavailable);
  EXPECT_EQ(reply.why, "broken: 502");
  auto counters = *parts_.sessions.end(id);
  EXPECT_EQ(counters.failed, 1u);
  EXPECT_EQ(counters.miss, 0u);
}

TEST_F(FetcherTest, AServerThatAskedForAPauseIsNotAskedAndNotBlamed) {
  auto& busy = parts_.add_remote("busy");
  busy.before = [](const auto&, RemoteCall& call) -> Status {
    call.retry_after = std::chrono::hours(1);
    return Error{Code::unavailable, "503"};
  };
  EXPECT_EQ(fetch(kKey).outcome, FetchOutcome::unavailable);
  Key other{"", "flat", "2f3a"};
  EXPECT_EQ(fetch(other).why, "busy: it asked for a pause");
  EXPECT_EQ(busy.calls("fetch"), 1);
  auto history = parts_.store->access_log().history(other, 10);
  ASSERT_TRUE(history);
  ASSERT_EQ(history->size(), 1u);
  EXPECT_EQ(history->front().kind, AccessKind::breaker_open);
  EXPECT_EQ(history->front().detail, "busy: it asked for a pause");
}

TEST_F(FetcherTest, DamagedBytesNeverBecomeAnEntry) {
  auto& remote = parts_.add_remote("team");
  Key key{"", "nx", "123"};
  remote.put("123", std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10) + "this is no deflate stream");
  EXPECT_EQ(fetch(key).outcome, FetchOutcome::unavailable);
  EXPECT_FALSE(parts_.store->reader().find(key));
  EXPECT_EQ(parts_.store->access_log().history(key, 1)->front().kind, AccessKind::refused);
  EXPECT_TRUE(std::filesystem::is_empty(parts_.paths.staging("daemon")));
}

TEST_F(FetcherTest, AnArtifactOverTheLimitIsRefusedBeforeItArrives) {
  auto& remote = parts_.add_remote("team");
  remote.put(remote_name(kKey), std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(fetch(kKey).outcome, FetchOutcome::unavailable);
  EXPECT_FALSE(parts_.store->reader().find(kKey));
}

// The first write waits until `time` has passed on the daemon's own timers.
class SlowDisk final : public io::FaultInjector {
 public:
  SlowDisk(TimerQueue& timers, Milliseconds time) : timers_(timers), time_(time) { io::install_fault_injector(this); }
  ~SlowDisk() override { io::install_fault_injector(nullptr); }
  Status before(const Step& step) override {
    if (step.op != io::Op::write || waited_.exchange(true)) return Ok{};
    std::promise<void> passed;
    timers_.run_after(time_, [&] { passed.set_value(); });
    passed.get_future().get();
    return Ok{};
  }
  void after(const Step&, bool) override {}

 private:
  TimerQueue& timers_;
  const Milliseconds time_;
  std::atomic<bool> waited_ = false;
};

TEST(FetcherBudgetTest, ASlowDiskOfOursIsNoSlowRemote) {
  constexpr Milliseconds kBudget{1500};
  DaemonParts parts(kBudget);
  parts.add_remote("quick").put(remote_name(kKey), "hello");
  Fetcher::Parts fetcher_parts{*parts.store, parts.remote_set(), *parts.scratch, parts.sessions, parts.timers};
  Fetcher fetcher(fetcher_parts, GuardLimits{}, 8);
  const SlowDisk slow(parts.timers, kBudget + 5 * Fetcher::kTick);
  std::promise<FetchReply> answered;
  fetcher.fetch(kKey, kLong, [&](FetchReply reply) { answered.set_value(std::move(reply)); });
  const FetchReply reply = answered.get_future().get();
  EXPECT_EQ(reply.outcome, FetchOutcome::here) << reply.why;
  EXPECT_TRUE(parts.remote_set().readable()[0]->remote->breaker().allows());
  parts.timers.stop();
}

TEST(FetcherBudgetTest, WhenTheBudgetIsSpentEverybodyIsSentAwayAndTheRestAreInstantMisses) {
  DaemonParts parts(Milliseconds(200));
  auto& remote = parts.add_remote("slow");
  remote.before = [](const auto&, RemoteCall& call) -> Status {
    std::promise<void> stopped;
    std::stop_callback on_stop(call.stop, [&] { stopped.set_value(); });
    stopped.get_future().get();
    return Error{Code::unavailable, "stopped"};
  };
  Fetcher::Parts fetcher_parts{*parts.store, parts.remote_set(), *parts.scratch, parts.sessions, parts.timers};
  auto fetcher = std::make_unique<Fetcher>(fetcher_parts, GuardLimits{}, 8);
  auto ask = [&](const Key& key) {
    auto promise = std::make_shared<std::promise<FetchReply>>();
    fetcher->fetch(key, kLong, [promise](FetchReply reply) { promise->set_value(std::move(reply)); });
    return promise->get_future();
  };
  auto id = parts.sessions.begin();
  EXPECT_EQ(ask(kKey).get().why, "budget spent");
  EXPECT_EQ(ask({"", "flat", "another"}).get().why, "budget spent");
  EXPECT_EQ(remote.calls("fetch"), 1);
  EXPECT_GE(parts.sessions.end(id)->waited, Milliseconds(200));
  // The next build does not wait for that remote again.
  EXPECT_FALSE(parts.remote_set().readable()[0]->remote->breaker().allows());
  parts.timers.stop();
}

}  // namespace
}  // namespace hitfs
