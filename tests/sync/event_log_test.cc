#include "sync/event_log.h"

#include <gtest/gtest.h>

#include <future>

namespace hitfs {
namespace {

const Key kKey{"", "flat", "1f3a"};

std::future<EventBatch> poll(EventLog& events, const std::string& front, const std::string& epoch, uint64_t after) {
  auto promise = std::make_shared<std::promise<EventBatch>>();
  auto future = promise->get_future();
  events.poll(front, epoch, after, [promise](EventBatch batch) { promise->set_value(std::move(batch)); });
  return future;
}

bool is_answered(const std::future<EventBatch>& future) {
  return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

class EventLogTest : public ::testing::Test {
 protected:
  // The first question of a front: learns the epoch.
  EventBatch first_batch(const std::string& front) { return poll(events_, front, "", 0).get(); }

  TimerQueue timers_;
  EventLog events_{timers_};
};

TEST_F(EventLogTest, ANewFrontIsToldThatNothingItRemembersIsCertain) {
  events_.add(DaemonEvent::Kind::retired, kKey, 7);
  auto batch = first_batch("a");
  EXPECT_TRUE(batch.reset);
  ASSERT_EQ(batch.events.size(), 1u);
  EXPECT_EQ(batch.events[0].entry_id, 7u);
  EXPECT_EQ(batch.next, 1u);
}

TEST_F(EventLogTest, APollWaitsForTheNextEvent) {
  auto first = first_batch("a");
  auto waiting = poll(events_, "a", first.epoch, first.next);
  EXPECT_FALSE(is_answered(waiting));
  events_.add(DaemonEvent::Kind::committed, kKey, 9);
  auto batch = waiting.get();
  EXPECT_FALSE(batch.reset);
  ASSERT_EQ(batch.events.size(), 1u);
  EXPECT_EQ(batch.events[0].key, kKey);
  EXPECT_EQ(batch.events[0].number, first.next + 1);
}

TEST_F(EventLogTest, EveryFrontSeesEveryEvent) {
  auto a = first_batch("a");
  auto b = first_batch("b");
  auto waiting_a = poll(events_, "a", a.epoch, a.next);
  auto waiting_b = poll(events_, "b", b.epoch, b.next);
  events_.add(DaemonEvent::Kind::committed, kKey, 1);
  EXPECT_EQ(waiting_a.get().events.size(), 1u);
  EXPECT_EQ(waiting_b.get().events.size(), 1u);
}

TEST_F(EventLogTest, AFrontThatFellBehindTheRingGetsAReset) {
  auto first = first_batch("a");
  for (size_t i = 0; i < EventLog::kKept + 5; ++i) events_.add(DaemonEvent::Kind::committed, kKey, i);
  auto batch = poll(events_, "a", first.epoch, first.next).get();
  EXPECT_TRUE(batch.reset);
  EXPECT_EQ(batch.events.size(), EventLog::kKept);
}

TEST_F(EventLogTest, ReportsAreCollectedFromEveryFrontThatAsks) {
  auto a = first_batch("a");
  auto waiting = poll(events_, "a", a.epoch, a.next);
  std::promise<void> collected;
  auto done = collected.get_future();
  events_.collect_reports(std::chrono::hours(1), [&] { collected.set_value(); });
  auto batch = waiting.get();
  ASSERT_EQ(batch.events.size(), 1u);
  EXPECT_EQ(batch.events[0].kind, DaemonEvent::Kind::report);
  EXPECT_EQ(done.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  auto next = poll(events_, "a", batch.epoch, batch.next);  // asking again says that the report was handled
  done.get();
}

TEST_F(EventLogTest, WithoutAFrontAReportIsCompleteAtOnce) {
  bool done = false;
  events_.collect_reports(std::chrono::hours(1), [&] { done = true; });
  EXPECT_TRUE(done);
}

TEST_F(EventLogTest, AFrontThatHasLeftIsNotWaitedFor) {
  auto a = first_batch("a");
  auto waiting = poll(events_, "a", a.epoch, a.next);
  bool before = false, after = false;
  events_.collect_reports(std::chrono::hours(1), [&] { before = true; });
  EXPECT_FALSE(before);
  events_.forget("a");
  EXPECT_TRUE(before);
  events_.collect_reports(std::chrono::hours(1), [&] { after = true; });
  EXPECT_TRUE(after);
}

TEST_F(EventLogTest, AFrontThatDoesNotAnswerIsNotWaitedForLongerThanAsked) {
  first_batch("dead");
  std::promise<void> collected;
  events_.collect_reports(Milliseconds(1), [&] { collected.set_value(); });
  collected.get_future().get();
}

}  // namespace
}  // namespace hitfs
