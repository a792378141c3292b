// The listener is killed under load: no connect is refused, nothing but the transfers that are under way is cut, and
// what was acknowledged is there.
#include <fmt/core.h>
#include <signal.h>

#include "tests/drills/call_tally.h"
#include "tests/drills/front_kills.h"
#include "tests/drills/http_load.h"

namespace hitfs::testing {

namespace {

constexpr unsigned kAnswersBetween = 60;
constexpr int kThreads = 8;
// Beyond this it hangs. It takes 10 s of silence, a second until it is looked at, and the start of the next one.
constexpr Milliseconds kReplaced{60'000};

}  // namespace

class ListenerKillsTest : public FrontKills {
 protected:
  static Json the_listener(const Json& supervisor) { return supervisor["listener"]; }

  // One round: an endpoint, a load, `kills` kills, and the end of all of it.
  void round(unsigned number, int kills) {
    start();
    ASSERT_FALSE(HasFailure());
    killed_ = 0;
    HttpLoad load({port(), authorization(), there_, kThreads, number * (kThreads + 1)}, clock_, tally_);
    for (int i = 0; i < kills; ++i) kill(i > 0 && random_() % 3 == 0);
    wait_ready(&the_listener);
    let_pass([&] { return tally_.answered(); }, kAnswersBetween);
    load.finish();
    EXPECT_EQ(load.failure(), "") << warnings();
    const Json all = supervisor();
    EXPECT_EQ(all["listener"]["restarts"].integer_or(-1), kills) << all.dump();
    auto stopped = hitfs("stop", {"--flush", "0s"});
    EXPECT_FALSE(stopped.timed_out) << stopped.output;
    ++rounds_;
  }

  void kill(bool at_start) {
    if (!at_start) let_pass([&] { return tally_.answered(); }, kAnswersBetween);
    pid_t pid = successor(&the_listener);
    during_requests_ += tally_.running > 0 ? 1 : 0;
    ++clock_.begun;
    kill_and_wait(pid);
    clock_.done = clock_.begun.load();
    killed_ = pid;
  }

  // SIGSTOP, until another one serves.
  Milliseconds stop_until_replaced(const Front& front) {
    killed_ = 0;
    killed_ = successor(front);
    auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(::kill(killed_, SIGSTOP), 0);
    EXPECT_GT(successor(front), 1);
    wait_ready(front);
    return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - begin);
  }

  void print() {
    say(fmt::format("kills of the listener: {} in {} rounds; {} while requests ran", clock_.begun.load(), rounds_,
                    during_requests_));
    say(fmt::format("  {} connects, {} refused; {} hits, {} misses, {} stored, {} already there, {} other answers",
                    tally_.connects.load(), tally_.refused.load(), tally_.hits.load(), tally_.misses.load(),
                    tally_.stored.load(), tally_.already_there.load(), tally_.wrong_answers.load()));
    say(fmt::format("  {} transfers cut by a kill, {} by nothing; {} bytes compared, {} answers with wrong ones",
                    tally_.cut.load(), tally_.cut_by_none.load(), tally_.bytes_compared.load(),
                    tally_.wrong_bytes.load()));
  }

  std::map<std::string, std::string> there_;
  KillClock clock_;
  HttpTally tally_;
  int rounds_ = 0, during_requests_ = 0;
};

TEST_F(ListenerKillsTest, RefuseNoConnectAndCutOnlyWhatIsUnderWay) {
  const int kills = wanted_kills(20);
  there_[nx_name(1)] = nx_artifact();
  there_[nx_name(2)] = opaque_artifact(3'000'000, 2);
  start();
  ASSERT_FALSE(HasFailure());
  for (const auto& [name, bytes] : there_) ASSERT_EQ(put(name, bytes).status, 200);
  for (unsigned number = 1; clock_.begun < kills && !HasFailure(); ++number) {
    round(number, std::min(kKillsInRound, kills - clock_.begun));
  }
  print();
  EXPECT_EQ(clock_.begun, kills);
  EXPECT_EQ(tally_.refused, 0u);
  EXPECT_EQ(tally_.cut_by_none, 0u);
  EXPECT_EQ(tally_.wrong_answers, 0u);
  EXPECT_EQ(tally_.wrong_bytes, 0u);
  // The drill did what it says; one thread has one connection.
  EXPECT_GT(tally_.cut, 0u);
  EXPECT_LE(tally_.cut, static_cast<uint64_t>(kills * kThreads));
  EXPECT_GT(during_requests_, kills / 2);
  for (auto* count : {&tally_.hits, &tally_.misses, &tally_.stored}) EXPECT_GT(*count, 0u);
}

// Build tools wait without a limit for a listener that is there and does not answer.
TEST_F(ListenerKillsTest, AListenerThatStopsIsReplaced) {
  start();
  ASSERT_FALSE(HasFailure());
  there_[nx_name(1)] = nx_artifact();
  ASSERT_EQ(put(nx_name(1), nx_artifact()).status, 200);
  HttpLoad load({port(), authorization(), there_, kThreads}, clock_, tally_);
  let_pass([&] { return tally_.answered(); }, kAnswersBetween);
  ++clock_.begun;
  auto took = stop_until_replaced(&the_listener);
  clock_.done = clock_.begun.load();
  let_pass([&] { return tally_.answered(); }, kAnswersBetween);
  load.finish();
  EXPECT_EQ(load.failure(), "") << warnings();
  EXPECT_LT(took.count(), kReplaced.count());
  EXPECT_GT(took.count(), 5000) << "it was replaced for another reason";
  say(fmt::format("stop of the listener (SIGSTOP): replaced after {} ms", took.count()));
  print();
}

// Every question at a daemon that hangs costs a time limit.
TEST_F(ListenerKillsTest, ADaemonThatStopsIsReplaced) {
  start();
  ASSERT_FALSE(HasFailure());
  auto took = stop_until_replaced([](const Json& supervisor) { return supervisor["daemon"]; });
  EXPECT_LT(took.count(), kReplaced.count());
  EXPECT_EQ(get(nx_name(1)).status, 404);
  EXPECT_EQ(put(nx_name(1), nx_artifact()).status, 200);
  say(fmt::format("stop of the daemon (SIGSTOP): replaced after {} ms", took.count()));
}

}  // namespace hitfs::testing
