#include "sync/prewarmer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/support/daemon_parts.h"

namespace hitfs {
namespace {

using testing::DaemonParts;
using testing::FakeRemote;

const std::string kCommit(40, 'a');
constexpr Milliseconds kLong = std::chrono::minutes(2);

Key flat(int number) { return Key{"", "flat", "entry-" + std::to_string(number)}; }
std::string remote_name(const Key& key) { return RemoteKey::of(key, 0, "nx").name; }

class PrewarmerTest : public ::testing::Test {
 protected:
  ~PrewarmerTest() override { parts_.timers.stop(); }

  Fetcher& fetcher() {
    if (!fetcher_) {
      Fetcher::Parts parts{*parts_.store, parts_.remote_set(), *parts_.scratch, parts_.sessions, parts_.timers};
      fetcher_ = std::make_unique<Fetcher>(parts, GuardLimits{}, 32);
      lists_ = std::make_unique<RunLists>(*parts_.store, parts_.remote_set(), *parts_.scratch, [] {});
      prewarmer_ = std::make_unique<Prewarmer>(Prewarmer::Parts{*parts_.store, *fetcher_, *lists_, &announcements_});
    }
    return *fetcher_;
  }
  Prewarmer& prewarmer() {
    fetcher();
    return *prewarmer_;
  }
  // The end of a job; a prewarmer sends no event, so it is asked again.
  Prewarmer::Progress finish(const std::string& id) {
    auto until = Deadline::after(kLong);
    while (true) {
      auto progress = prewarmer().progress(id);
      if (!progress || progress->done || until.passed()) return progress.value_or(Prewarmer::Progress{});
      std::this_thread::yield();
    }
  }
  Prewarmer::Progress prewarm(Prewarmer::Request request) {
    request.max_time = kLong;
    auto id = prewarmer().begin(std::move(request));
    return id ? finish(*id) : Prewarmer::Progress{};
  }
  static void put_entries(FakeRemote& remote, int count, size_t bytes = 5) {
    for (int i = 0; i < count; ++i) remote.put(remote_name(flat(i)), std::string(bytes, 'x'));
  }
  static void put_list(FakeRemote& remote, int count, uint64_t bytes = 5) {
    RunList list{.commit = kCommit, .complete = true};
    for (int i = 0; i < count; ++i) list.items.push_back({flat(i), "", RunList::How::stored, bytes});
    remote.put(RemoteKey::of(list_key(kCommit, 0), 0, "nx").name, *list.encode());
  }
  FetchReply fetch(const Key& key) {
    auto promise = std::make_shared<std::promise<FetchReply>>();
    auto future = promise->get_future();
    fetcher().fetch(key, kLong, [promise](FetchReply reply) { promise->set_value(std::move(reply)); });
    return future.get();
  }

  DaemonParts parts_{Milliseconds(300)};
  Announcements announcements_{[] {}};
  std::unique_ptr<Fetcher> fetcher_;
  std::unique_ptr<RunLists> lists_;
  std::unique_ptr<Prewarmer> prewarmer_;
};

TEST_F(PrewarmerTest, PullsWhatTheListNamesAndCountsNoMissOfABuild) {
  auto& remote = parts_.add_remote("team");
  put_entries(remote, 39);
  put_list(remote, 40);
  auto session = parts_.sessions.begin();
  auto progress = prewarm({.commits = {std::string(40, 'b'), kCommit}});
  EXPECT_EQ(progress.commit, kCommit);
  EXPECT_EQ(progress.distance, 1u);
  EXPECT_EQ(progress.wanted, 40u);
  EXPECT_EQ(progress.pulled, 39u);
  EXPECT_EQ(progress.missing, 1u);
  EXPECT_EQ(progress.failed, 0u);
  EXPECT_EQ(progress.bytes, 39u * 5);
  EXPECT_EQ(progress.wanted_bytes, 40u * 5);
  EXPECT_EQ(progress.limit, "");
  auto counters = *parts_.sessions.end(session);
  EXPECT_EQ(counters.miss, 0u);
  EXPECT_EQ(counters.failed, 0u);
  EXPECT_EQ(parts_.store->reader().find(flat(0))->origin, "team (prewarmed)");
  EXPECT_TRUE(parts_.remote_set().readable()[0]->remote->breaker().allows());
}

TEST_F(PrewarmerTest, WhatIsHereIsNotPulledAgain) {
  auto& remote = parts_.add_remote("team");
  put_entries(remote, 2);
  parts_.commit_file(flat(0), "hello");
  auto progress = prewarm({.keys = {flat(0), flat(1), flat(1)}});
  EXPECT_EQ(progress.wanted, 2u);
  EXPECT_EQ(progress.here, 1u);
  EXPECT_EQ(progress.pulled, 1u);
  EXPECT_EQ(remote.calls("fetch"), 1);
}

TEST_F(PrewarmerTest, KeepsToTheLimitOfBytesThatTheListTells) {
  auto& remote = parts_.add_remote("team");
  put_entries(remote, 10, 100);
  put_list(remote, 10, 100);
  auto progress = prewarm({.commits = {kCommit}, .max_bytes = 450});
  EXPECT_EQ(progress.pulled, 4u);
  EXPECT_EQ(progress.left_out, 6u);
  EXPECT_EQ(progress.bytes, 400u);
  EXPECT_EQ(progress.limit, "bytes");
}

TEST_F(PrewarmerTest, WhatIsLeftOutIsAnnounced) {
  auto& remote = parts_.add_remote("team");
  put_entries(remote, 10, 100);
  put_list(remote, 10, 100);
  parts_.commit_file(flat(9), "hello");
  prewarm({.commits = {kCommit}, .max_bytes = 750});
  // As the daemon does at a commit.
  for (int i = 0; i < 10; ++i) {
    if (parts_.store->reader().find(flat(i))) announcements_.drop(flat(i));
  }
  EXPECT_EQ(announcements_.after(0).keys, (std::vector<Key>{flat(7), flat(8)}));
}

TEST_F(PrewarmerTest, WhatIsComingIsAnnouncedAndWhatDoesNotComeNoMore) {
  auto& remote = parts_.add_remote("team");
  std::promise<void> release;
  auto released = release.get_future().share();
  std::promise<void> asked;
  remote.before = [&](const auto&, auto&) -> Status {
    asked.set_value();
    released.get();
    return Ok{};
  };
  Prewarmer::Request request{.keys = {flat(0)}};
  request.max_time = kLong;
  auto id = *prewarmer().begin(request);
  asked.get_future().get();
  EXPECT_EQ(announcements_.after(0).keys, std::vector<Key>{flat(0)});
  release.set_value();
  EXPECT_EQ(finish(id).missing, 1u);
  EXPECT_TRUE(announcements_.after(0).keys.empty());
}

TEST_F(PrewarmerTest, TimeIsUpAlsoForARemoteThatIsSilent) {
  auto& remote = parts_.add_remote("silent");
  remote.before = [](const auto&, RemoteCall& call) -> Status {
    std::promise<void> stopped;
    std::stop_callback on_stop(call.stop, [&] { stopped.set_value(); });
    stopped.get_future().get();
    return Error{Code::unavailable, "stopped"};
  };
  Prewarmer::Request request{.keys = {flat(0)}};
  request.max_time = Milliseconds(1);
  auto progress = finish(*prewarmer().begin(request));
  EXPECT_TRUE(progress.done);
  EXPECT_EQ(progress.limit, "time");
}

TEST_F(PrewarmerTest, AJobThatIsStoppedStartsNothingMore) {
  auto& remote = parts_.add_remote("team");
  put_entries(remote, 100);
  std::promise<void> release;
  auto released = release.get_future().share();
  std::atomic<bool> first = false;
  remote.before = [&](const auto&, auto&) -> Status {
    first = true;
    first.notify_all();
    released.get();
    return Ok{};
  };
  Prewarmer::Request request;
  for (int i = 0; i < 100; ++i) request.keys.push_back(flat(i));
  request.max_time = kLong;
  auto id = *prewarmer().begin(request);
  first.wait(false);
  prewarmer().stop(id);
  auto progress = finish(id);
  release.set_value();
  // What was under way comes in all the same; it uses what stands here.
  while (!fetcher().under_way().empty()) std::this_thread::yield();
  EXPECT_EQ(progress.limit, "stopped");
  EXPECT_GE(progress.left_out, 100u - Prewarmer::kSideBySide);
}

TEST_F(PrewarmerTest, FailuresAreNoMissesAndSaidWithTheirReason) {
  parts_.add_remote("broken").before = [](const auto&, auto&) -> Status { return Error{Code::unavailable, "502"}; };
  auto session = parts_.sessions.begin();
  auto progress = prewarm({.keys = {flat(0)}});
  EXPECT_EQ(progress.failed, 1u);
  EXPECT_EQ(progress.missing, 0u);
  EXPECT_EQ(progress.trouble, "broken: 502");
  EXPECT_EQ(parts_.sessions.end(session)->failed, 0u);
}

TEST_F(PrewarmerTest, AQuestionThatComesMeanwhileJoinsThePullAndMakesItItsOwn) {
  auto& remote = parts_.add_remote("team");
  put_entries(remote, 1);
  auto answered = std::make_shared<std::promise<FetchReply>>();
  remote.halfway = [&, answered] {
    fetcher().fetch(flat(0), kLong, [answered](const FetchReply& reply) { answered->set_value(reply); });
  };
  auto progress = prewarm({.keys = {flat(0)}});
  EXPECT_EQ(answered->get_future().get().outcome, FetchOutcome::here);
  EXPECT_EQ(progress.pulled, 1u);
  EXPECT_EQ(remote.calls("fetch"), 1);
  EXPECT_EQ(parts_.store->reader().find(flat(0))->origin, "team");
}

TEST_F(PrewarmerTest, ABuildsQuestionIsAnsweredWhileAPrewarmHoldsAllItsPlaces) {
  auto& remote = parts_.add_remote("team");
  put_entries(remote, 100);
  std::promise<void> release;
  auto released = release.get_future().share();
  std::atomic<size_t> held = 0;
  auto wanted = remote_name(flat(99));
  std::atomic<bool> hold = true;
  remote.before = [&](const auto&, auto&) -> Status {
    if (!hold) return Ok{};
    ++held;
    held.notify_all();
    released.get();
    return Ok{};
  };
  Prewarmer::Request request;
  for (int i = 0; i < 90; ++i) request.keys.push_back(flat(i));
  request.max_time = kLong;
  auto id = *prewarmer().begin(request);
  for (size_t now = held; now < Prewarmer::kSideBySide; now = held) held.wait(now);
  hold = false;
  EXPECT_EQ(fetch(flat(99)).outcome, FetchOutcome::here);
  EXPECT_EQ(held, Prewarmer::kSideBySide);
  release.set_value();
  EXPECT_EQ(finish(id).pulled, 90u);
}

// A prewarm that waits for a slow remote costs no build anything.
TEST_F(PrewarmerTest, CostsNoBudget) {
  auto& remote = parts_.add_remote("slow");
  put_entries(remote, 1);
  remote.before = [&](const auto&, auto&) -> Status {
    auto passed = std::make_shared<std::promise<void>>();
    parts_.timers.run_after(Milliseconds(300) + 5 * Fetcher::kTick, [passed] { passed->set_value(); });
    passed->get_future().get();
    return Ok{};
  };
  auto session = parts_.sessions.begin();
  EXPECT_EQ(prewarm({.keys = {flat(0)}}).pulled, 1u);
  EXPECT_EQ(parts_.sessions.end(session)->waited, Milliseconds(0));
}

TEST_F(PrewarmerTest, TakesAFewJobsAtOnceAndRemembersWhatEnded) {
  auto& remote = parts_.add_remote("team");
  std::promise<void> release;
  auto released = release.get_future().share();
  remote.before = [&](const auto&, auto&) -> Status {
    released.get();
    return Ok{};
  };
  std::vector<std::string> ids;
  for (int i = 0; i < static_cast<int>(Prewarmer::kMostJobs); ++i) {
    auto id = prewarmer().begin({.commits = {}, .keys = {flat(i)}, .max_bytes = 0, .max_time = kLong});
    ASSERT_TRUE(id);
    ids.push_back(*id);
  }
  EXPECT_EQ(prewarmer().begin({.commits = {}, .keys = {flat(9)}, .max_bytes = 0, .max_time = kLong}).error().code,
            Code::unavailable);
  release.set_value();
  for (const auto& id : ids) EXPECT_EQ(finish(id).missing, 1u);
  auto another = prewarmer().begin({.commits = {}, .keys = {flat(9)}, .max_bytes = 0, .max_time = kLong});
  ASSERT_TRUE(another);
  EXPECT_EQ(finish(*another).missing, 1u);
  EXPECT_FALSE(prewarmer().progress("4711"));
}

}  // namespace
}  // namespace hitfs
