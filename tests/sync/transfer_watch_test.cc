#include "sync/remotes/transfer_watch.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace hitfs {
namespace {

using std::chrono::seconds;

class TransferWatchTest : public ::testing::Test {
 protected:
  Patience patience{.connect = seconds(2), .first_byte = seconds(5), .stall = seconds(3)};
  testing::FakeClock clock;
};

TEST_F(TransferWatchTest, BooksEachPhaseOnItsOwn) {
  RemoteCall call;
  {
    TransferWatch watch(call, patience, patience.first_byte, clock);
    clock.advance(seconds(1));
    watch.sending();
    clock.advance(Milliseconds(50));
    watch.moved(10);
    watch.awaiting();
    clock.advance(seconds(4));
    watch.receiving();
    clock.advance(Milliseconds(60));
    watch.moved(7);
    clock.advance(seconds(2));
    watch.moved(3);
    TransferWatch::Busy busy(watch);
    clock.advance(seconds(9));
  }
  EXPECT_EQ(call.times.connect, seconds(1));
  EXPECT_EQ(call.times.first_byte, seconds(4));
  EXPECT_EQ(call.times.stalled, seconds(2));
  EXPECT_EQ(call.times.transfer, seconds(9) + Milliseconds(110));
  EXPECT_EQ(call.times.waited(), seconds(7));
  EXPECT_EQ(call.times.bytes, 20u);
}

TEST_F(TransferWatchTest, EachPhaseHasItsLimit) {
  struct Case {
    void (TransferWatch::*enter)();
    seconds limit;
    Trouble trouble;
  };
  for (auto [enter, limit, trouble] : {Case{&TransferWatch::connecting, seconds(2), Trouble::connect},
                                       Case{&TransferWatch::sending, seconds(3), Trouble::stalled},
                                       Case{&TransferWatch::awaiting, seconds(5), Trouble::silent},
                                       Case{&TransferWatch::receiving, seconds(3), Trouble::stalled}}) {
    RemoteCall call;
    TransferWatch watch(call, patience, patience.first_byte, clock);
    (watch.*enter)();
    EXPECT_EQ(watch.next_check(), limit);
    clock.advance(limit - Milliseconds(1));
    EXPECT_FALSE(watch.give_up());
    clock.advance(Milliseconds(1));
    auto late = watch.give_up();
    ASSERT_TRUE(late);
    EXPECT_EQ(late->code, Code::unavailable);
    EXPECT_EQ(call.trouble, trouble);
  }
}

TEST_F(TransferWatchTest, ATransferThatProgressesNeverTimesOut) {
  RemoteCall call;
  TransferWatch watch(call, patience, patience.first_byte, clock);
  watch.receiving();
  for (int i = 0; i < 1000; ++i) {
    clock.advance(seconds(2));
    EXPECT_FALSE(watch.give_up());
    watch.moved(1);
  }
}

TEST_F(TransferWatchTest, TheDeadlineEndsEvenAProgressingTransfer) {
  RemoteCall call(Deadline::after(seconds(4), clock));
  TransferWatch watch(call, patience, patience.first_byte, clock);
  watch.receiving();
  clock.advance(seconds(2));
  watch.moved(1);
  EXPECT_EQ(watch.next_check(), seconds(2));
  clock.advance(seconds(2));
  watch.moved(1);
  ASSERT_TRUE(watch.give_up());
  EXPECT_EQ(call.trouble, Trouble::cancelled);
}

TEST_F(TransferWatchTest, OurOwnSlownessIsNotTheirs) {
  RemoteCall call;
  TransferWatch watch(call, patience, patience.first_byte, clock);
  watch.receiving();
  {
    TransferWatch::Busy busy(watch);
    EXPECT_EQ(call.waiting_since, 0);
    clock.advance(seconds(60));
  }
  EXPECT_EQ(call.waiting_since, clock.now().time_since_epoch().count());
  EXPECT_FALSE(watch.give_up());
  EXPECT_EQ(call.times.waited(), seconds(0));
}

TEST_F(TransferWatchTest, AnUploadMayWaitLongerForItsAnswer) {
  RemoteCall call;
  TransferWatch watch(call, patience, seconds(60), clock);
  watch.awaiting();
  clock.advance(seconds(59));
  EXPECT_FALSE(watch.give_up());
}

TEST_F(TransferWatchTest, AStopEndsIt) {
  std::stop_source stop;
  RemoteCall call(Deadline::never(), stop.get_token());
  TransferWatch watch(call, patience, patience.first_byte, clock);
  EXPECT_FALSE(watch.give_up());
  stop.request_stop();
  ASSERT_TRUE(watch.give_up());
  EXPECT_EQ(call.trouble, Trouble::cancelled);
}

}  // namespace
}  // namespace hitfs
