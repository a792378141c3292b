#include "sync/remotes/breaker.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace hitfs {
namespace {

using std::chrono::seconds;

class BreakerTest : public ::testing::Test {
 protected:
  bool report(Trouble trouble) {
    RemoteCall call;
    call.trouble = trouble;
    return breaker.report(call, "it was dead");
  }
  void wait_for_probe() { clock.advance(breaker.status().probe_in); }

  testing::FakeClock clock;
  Breaker breaker{{.first_pause = seconds(1), .most_pause = seconds(4)}, clock};
};

TEST_F(BreakerTest, OpensOnWhatSaysThatNobodyAnswers) {
  for (auto trouble : {Trouble::connect, Trouble::silent, Trouble::stalled}) {
    Breaker fresh({}, clock);
    RemoteCall call;
    call.trouble = trouble;
    EXPECT_TRUE(fresh.allow());
    EXPECT_TRUE(fresh.report(call, "why"));
    EXPECT_FALSE(fresh.allow());
    EXPECT_EQ(fresh.status().state, BreakerState::open);
    EXPECT_EQ(fresh.status().why, "why");
  }
}

TEST_F(BreakerTest, AnAnswerOfAnyKindKeepsItClosed) {
  for (auto trouble : {Trouble::none, Trouble::broken, Trouble::paced, Trouble::cancelled}) {
    EXPECT_FALSE(report(trouble));
    EXPECT_TRUE(breaker.allow());
  }
  EXPECT_EQ(breaker.status().opened, 0u);
}

TEST_F(BreakerTest, ASlowAnswerToAnUploadDoesNotOpenIt) {
  RemoteCall call;
  for (auto trouble : {Trouble::silent, Trouble::stalled, Trouble::broken}) {
    call.trouble = trouble;
    EXPECT_FALSE(breaker.report_background(call, "slow"));
  }
  call.trouble = Trouble::connect;
  EXPECT_TRUE(breaker.report_background(call, "refused"));
}

TEST_F(BreakerTest, ManyFailuresAtOnceAreOneOutage) {
  EXPECT_TRUE(report(Trouble::silent));
  for (int i = 0; i < 31; ++i) EXPECT_FALSE(report(Trouble::silent));
  EXPECT_FALSE(breaker.trip("again"));
  EXPECT_EQ(breaker.status().opened, 1u);
  EXPECT_EQ(breaker.status().why, "it was dead");
}

TEST_F(BreakerTest, OneProbeAtATimeClosesIt) {
  EXPECT_FALSE(breaker.begin_probe());
  report(Trouble::connect);
  EXPECT_FALSE(breaker.begin_probe()) << "before its time";
  wait_for_probe();
  EXPECT_TRUE(breaker.begin_probe());
  EXPECT_FALSE(breaker.begin_probe()) << "a second one";
  EXPECT_EQ(breaker.status().state, BreakerState::half_open);
  EXPECT_FALSE(breaker.allow()) << "only the probe goes out";
  breaker.end_probe(true, "");
  EXPECT_TRUE(breaker.allow());
  EXPECT_EQ(breaker.probe_due(), MonotonicTime::max());
}

TEST_F(BreakerTest, AFailedProbeWaitsLongerUpToALimit) {
  report(Trouble::connect);
  Milliseconds most(0);
  for (int i = 0; i < 8; ++i) {
    auto pause = breaker.status().probe_in;
    EXPECT_GE(pause, std::min<Milliseconds>(seconds(1) * (1 << std::min(i, 2)), seconds(4)) / 2) << i;
    EXPECT_LE(pause, seconds(4));
    most = std::max(most, pause);
    wait_for_probe();
    ASSERT_TRUE(breaker.begin_probe());
    breaker.end_probe(false, "still dead");
    EXPECT_EQ(breaker.status().state, BreakerState::open);
  }
  EXPECT_GE(most, seconds(2));
  EXPECT_EQ(breaker.status().opened, 1u);
  EXPECT_EQ(breaker.status().why, "still dead");
}

// What keeps "hits again within ten seconds": the longest pause, and a probe before it that found the server silent.
TEST_F(BreakerTest, AServerThatIsBackIsFoundWithinTenSecondsHoweverLongItWasAway) {
  Breaker with_defaults({}, clock);
  with_defaults.trip("dead");
  constexpr auto kSilentProbe = seconds(2);
  for (int i = 0; i < 20; ++i) {
    EXPECT_LE(with_defaults.status().probe_in + kSilentProbe, seconds(10)) << i;
    EXPECT_EQ(with_defaults.status().failed_probes, static_cast<uint64_t>(i));
    clock.advance(with_defaults.status().probe_in);
    ASSERT_TRUE(with_defaults.begin_probe());
    with_defaults.end_probe(false, "still dead");
  }
  clock.advance(with_defaults.status().probe_in);
  ASSERT_TRUE(with_defaults.begin_probe());
  with_defaults.end_probe(true, "");
  EXPECT_EQ(with_defaults.status().failed_probes, 0u);
}

TEST_F(BreakerTest, PausesAreShortAgainAfterARecovery) {
  report(Trouble::connect);
  for (int i = 0; i < 4; ++i) {
    wait_for_probe();
    ASSERT_TRUE(breaker.begin_probe());
    breaker.end_probe(i == 3, "");
  }
  report(Trouble::connect);
  EXPECT_LE(breaker.status().probe_in, seconds(1));
  EXPECT_EQ(breaker.status().opened, 2u);
}

TEST_F(BreakerTest, CountsWhatItRefused) {
  EXPECT_TRUE(breaker.trip("budget"));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(breaker.allow());
  EXPECT_FALSE(breaker.allows());
  EXPECT_EQ(breaker.status().refused, 3u);
}

}  // namespace
}  // namespace hitfs
