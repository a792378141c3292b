#include "sync/run_lists.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "store/push_queue.h"
#include "sync/pusher.h"
#include "tests/support/daemon_parts.h"

namespace hitfs {
namespace {

using testing::DaemonParts;
using testing::FakeRemote;

const std::string kCommit(40, 'a');

std::string commit_name(int number) {
  auto text = std::to_string(number);
  return std::string(40 - text.size(), '0') + text;
}

RunList list_of(const std::string& commit, const std::vector<std::string>& names, bool complete = true) {
  RunList list{.commit = commit, .complete = complete};
  for (const auto& name : names) list.items.push_back({Key{"", "nx", name}, "task-" + name + ":build"});
  return list;
}

std::string part_name(const std::string& commit, uint64_t part) {
  return RemoteKey::of(list_key(commit, part), 0, "nx").name;
}

const auto kComplete = [](const RunList& list) { return list.complete; };

class RunListsTest : public ::testing::Test {
 protected:
  RunLists& lists() {
    if (!lists_) {
      lists_ = std::make_unique<RunLists>(*parts_.store, parts_.remote_set(), *parts_.scratch, [this] { ++queued_; });
    }
    return *lists_;
  }
  RunLists::Search search(const std::vector<std::string>& commits) {
    return lists().search(commits, kComplete, Deadline::after(std::chrono::minutes(1)), {});
  }
  // Empties the push queue as the daemon does.
  void push_all() {
    Pusher pusher(Pusher::Parts{*parts_.store, parts_.remote_set(), *parts_.scratch, parts_.sessions, &lists()},
                  {.first_pause = Milliseconds(1)});
    ASSERT_TRUE(pusher.wait_until_empty(Deadline::after(std::chrono::minutes(1)), {}));
  }
  static void put(FakeRemote& remote, const RunList& list, uint64_t part) {
    remote.put(part_name(list.commit, part), *list.encode());
  }
  static RunList part_of(FakeRemote& remote, uint64_t part) {
    auto bytes = remote.get(part_name(kCommit, part));
    return bytes ? RunList::parse(*bytes).value() : RunList{};
  }

  DaemonParts parts_;
  int queued_ = 0;
  std::unique_ptr<RunLists> lists_;
};

TEST_F(RunListsTest, APublishedListIsFoundHereAndPushed) {
  auto& remote = parts_.add_remote("team");
  auto list = list_of(kCommit, {"1", "2"});
  auto session = parts_.sessions.begin();
  auto published = lists().publish(list);
  ASSERT_TRUE(published) << published.error().message;
  EXPECT_EQ(published->part, "list/" + kCommit + "-0");
  EXPECT_EQ(queued_, 1);
  push_all();
  EXPECT_EQ(part_of(remote, 0), list);
  EXPECT_EQ(parts_.sessions.end(session)->pushed, 0u) << "a list is no result of a build";
}

TEST_F(RunListsTest, WhatSaysNothingNewMakesNoPart) {
  ASSERT_TRUE(lists().publish(list_of(kCommit, {"1", "2"})));
  auto again = lists().publish(list_of(kCommit, {"2"}, false));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->part, "");
  auto more = lists().publish(list_of(kCommit, {"2", "3"}));
  ASSERT_TRUE(more);
  EXPECT_EQ(more->part, "list/" + kCommit + "-1");
  EXPECT_EQ(queued_, 2);
}

TEST_F(RunListsTest, OnARemoteAPartTakesTheFirstFreeNumber) {
  auto& remote = parts_.add_remote("team");
  auto others = list_of(kCommit, {"7"});
  put(remote, others, 0);
  ASSERT_TRUE(lists().publish(list_of(kCommit, {"1"})));
  push_all();
  EXPECT_EQ(part_of(remote, 0), others);
  EXPECT_EQ(part_of(remote, 1), list_of(kCommit, {"1"}));
}

TEST_F(RunListsTest, NothingIsSentThatTheRemoteKnows) {
  auto& remote = parts_.add_remote("team");
  put(remote, list_of(kCommit, {"1", "2"}), 0);
  ASSERT_TRUE(lists().publish(list_of(kCommit, {"1"})));
  push_all();
  EXPECT_EQ(remote.calls("store"), 0);
}

TEST_F(RunListsTest, WhoLosesARaceTakesTheNextNumber) {
  auto& remote = parts_.add_remote("team");
  remote.first_wins = true;
  auto others = list_of(kCommit, {"7"});
  remote.before = [&](const std::string& verb, RemoteCall&) -> Status {
    if (verb == "store" && !remote.get(part_name(kCommit, 0))) put(remote, others, 0);
    return Ok{};
  };
  ASSERT_TRUE(lists().publish(list_of(kCommit, {"1"})));
  push_all();
  EXPECT_EQ(part_of(remote, 0), others);
  EXPECT_EQ(part_of(remote, 1), list_of(kCommit, {"1"}));
}

TEST_F(RunListsTest, ATokenThatMayOnlyWriteIsEnough) {
  auto& remote = parts_.add_remote("team", RemoteMode::write);
  remote.first_wins = true;
  put(remote, list_of(kCommit, {"7"}), 0);
  remote.before = [](const std::string& verb, RemoteCall&) -> Status {
    if (verb == "fetch") return Error{Code::permission_denied, "403"};
    return Ok{};
  };
  ASSERT_TRUE(lists().publish(list_of(kCommit, {"1"})));
  push_all();
  EXPECT_EQ(part_of(remote, 0), list_of(kCommit, {"7"}));
  EXPECT_EQ(part_of(remote, 1), list_of(kCommit, {"1"}));
}

TEST_F(RunListsTest, ARemoteThatContradictsItselfEndsTheAttempt) {
  auto& remote = parts_.add_remote("team");
  remote.store_result = StoreResult::already_there;
  remote.before = [](const std::string& verb, RemoteCall&) -> Status {
    if (verb == "fetch") return Error{Code::not_found, "404"};
    return Ok{};
  };
  ASSERT_TRUE(lists().publish(list_of(kCommit, {"1"})));
  push_all();
  EXPECT_EQ(remote.calls("store"), static_cast<int>(RunLists::kMostParts));
}

TEST_F(RunListsTest, SomethingElseUnderItsNameIsPassedBy) {
  auto& remote = parts_.add_remote("team");
  remote.put(part_name(kCommit, 0), "<html>no list</html>");
  ASSERT_TRUE(lists().publish(list_of(kCommit, {"1"})));
  push_all();
  EXPECT_EQ(part_of(remote, 1), list_of(kCommit, {"1"}));
  auto found = search({kCommit});
  ASSERT_EQ(found.found.size(), 1u);
  EXPECT_EQ(found.found[0].list.items.size(), 1u);
}

TEST_F(RunListsTest, ARemoteThatIsDownGetsItLater) {
  auto& remote = parts_.add_remote("team");
  std::atomic<int> tries = 0;
  remote.before = [&](const auto&, auto&) -> Status {
    if (++tries == 1) return Error{Code::unavailable, "502"};
    return Ok{};
  };
  ASSERT_TRUE(lists().publish(list_of(kCommit, {"1"})));
  push_all();
  EXPECT_EQ(part_of(remote, 0), list_of(kCommit, {"1"}));
}

TEST_F(RunListsTest, ARemoteThatRefusesIsLeftInPeace) {
  auto& remote = parts_.add_remote("team");
  remote.before = [](const std::string& verb, auto&) -> Status {
    if (verb == "store") return Error{Code::permission_denied, "403"};
    return Ok{};
  };
  auto session = parts_.sessions.begin();
  ASSERT_TRUE(lists().publish(list_of(kCommit, {"1"})));
  push_all();
  EXPECT_EQ(parts_.store->push_queue().stats().parked, 0u);
  EXPECT_EQ(parts_.sessions.end(session)->refused, 0u);
}

TEST_F(RunListsTest, FindsTheNearestCommitThatHasAList) {
  auto& remote = parts_.add_remote("team");
  std::vector<std::string> commits;
  for (int i = 0; i < 100; ++i) commits.push_back(commit_name(i));
  put(remote, list_of(commits[40], {"1"}), 0);
  put(remote, list_of(commits[40], {"2"}), 1);
  put(remote, list_of(commits[41], {"3"}), 0);
  auto session = parts_.sessions.begin();
  auto found = search(commits);
  ASSERT_EQ(found.found.size(), 1u);
  EXPECT_EQ(found.found[0].index, 40u);
  EXPECT_EQ(found.found[0].list.items.size(), 2u);
  EXPECT_EQ(found.searched, 41u);
  EXPECT_EQ(found.trouble, "");
  EXPECT_EQ(parts_.sessions.end(session)->miss, 0u) << "looking for a list is no lookup of a build";
  EXPECT_EQ(parts_.store->stats().entries, 0u) << "nothing of it comes into the store";
}

TEST_F(RunListsTest, GoesOnBehindTheListOfAFailedBuild) {
  auto& remote = parts_.add_remote("team");
  put(remote, list_of(commit_name(1), {"1"}, false), 0);
  put(remote, list_of(commit_name(2), {"2"}), 0);
  auto found = search({commit_name(0), commit_name(1), commit_name(2), commit_name(3)});
  ASSERT_EQ(found.found.size(), 2u);
  EXPECT_EQ(found.found[0].list.commit, commit_name(1));
  EXPECT_EQ(found.found[1].list.commit, commit_name(2));
}

TEST_F(RunListsTest, JoinsWhatThisMachineAndSeveralRemotesHave) {
  put(parts_.add_remote("one"), list_of(kCommit, {"1"}), 0);
  put(parts_.add_remote("other"), list_of(kCommit, {"2"}), 0);
  ASSERT_TRUE(lists().publish(list_of(kCommit, {"3"})));
  auto found = search({kCommit});
  ASSERT_EQ(found.found.size(), 1u);
  EXPECT_EQ(found.found[0].list.items.size(), 3u);
}

TEST_F(RunListsTest, ABrokenRemoteIsTroubleAndTheOthersAreAsked) {
  parts_.add_remote("broken").before = [](const auto&, auto&) -> Status { return Error{Code::unavailable, "502"}; };
  put(parts_.add_remote("team"), list_of(kCommit, {"1"}), 0);
  auto found = search({kCommit});
  EXPECT_EQ(found.found.size(), 1u);
  EXPECT_NE(found.trouble.find("broken"), std::string::npos) << found.trouble;
  EXPECT_NE(found.trouble.find("502"), std::string::npos) << found.trouble;
}

TEST_F(RunListsTest, ASearchEndsWhenItIsStopped) {
  std::stop_source stop;
  auto& remote = parts_.add_remote("silent");
  remote.before = [&](const auto&, RemoteCall& call) -> Status {
    stop.request_stop();
    std::promise<void> ended;
    std::stop_callback on_stop(call.stop, [&] { ended.set_value(); });
    ended.get_future().get();
    return Error{Code::unavailable, "stopped"};
  };
  auto found = lists().search({kCommit}, kComplete, Deadline::never(), stop.get_token());
  EXPECT_TRUE(found.found.empty());
  EXPECT_NE(found.trouble, "");
}

}  // namespace
}  // namespace hitfs
