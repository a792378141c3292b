// Room: eviction, what it spares, and what does not fit.

#include <gtest/gtest.h>

#include "store/base/log.h"
#include "store/push_queue.h"
#include "tests/store/store_helpers.h"

namespace hitfs {
namespace {

using testing::bytes_of;
using testing::FastTempDir;
using testing::flat;
using testing::put_blob;
using testing::put_tree;
using testing::StillClock;
using testing::why;

class StoreLimitsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { log::set_level(log::Level::off); }
  static void TearDownTestSuite() { log::set_level(log::Level::info); }
  void TearDown() override {
    store_.reset();
    EXPECT_SOUND(paths_);
  }

  void open(uint64_t max_bytes, uint64_t max_files = 0, bool release = true) {
    EntryStore::Options options;
    options.limits = {max_bytes, max_files};
    options.clock = &clock_;
    auto opened = EntryStore::open(paths_, options);
    ASSERT_TRUE(opened) << why(opened);
    store_ = *std::move(opened);
    store_->observe({.committed = {}, .retired = [this, release](const Entry& entry, const std::string& /*why*/) {
                       retired_.push_back(entry.key.name);
                       if (!release) return;
                       EXPECT_TRUE(store_->release(entry.id));
                     }});
  }

  // An entry of 100,000 bytes of its own, a minute after the one before.
  uint64_t put(const std::string& name, const CommitOptions& options = {}) {
    clock_.move(std::chrono::minutes(1));
    auto committed = put_tree(*store_, flat(name), {{"f", bytes_of(100'000, ++seed_)}}, options);
    EXPECT_TRUE(committed) << why(committed);
    return committed ? committed->entry_id : 0;
  }
  bool has(const std::string& name) { return store_->reader().find(flat(name)).has_value(); }
  static CommitOptions pushed() {
    CommitOptions options;
    options.push_to = {"r"};
    return options;
  }

  FastTempDir dir_;
  StorePaths paths_{dir_ / "store"};
  StillClock clock_;
  std::unique_ptr<EntryStore> store_;
  std::vector<std::string> retired_;
  unsigned seed_ = 0;
};

using Names = std::vector<std::string>;

TEST_F(StoreLimitsTest, TheLeastRecentlyUsedGoesFirst) {
  open(350'000);
  auto a = put("a");
  put("b");
  put("c");
  clock_.move(std::chrono::minutes(20));
  ASSERT_TRUE(store_->touch(a));
  put("d");
  EXPECT_EQ(retired_, Names{"b"});
  EXPECT_TRUE(has("a"));
  put("e");
  EXPECT_EQ(retired_, (Names{"b", "c"}));
  EXPECT_LE(store_->stats().bytes, 350'000u);
  EXPECT_EQ(store_->stats().evicted_entries, 2u);
}

TEST_F(StoreLimitsTest, TheNumberOfFilesIsALimitToo) {
  open(0, 6);
  put("a");
  put("b");
  put("c");
  put("d");
  EXPECT_EQ(retired_, Names{"a"});
  EXPECT_LE(store_->stats().files, 6u);
}

TEST_F(StoreLimitsTest, PinnedEntriesStay) {
  open(250'000);
  auto a = put("a");
  ASSERT_TRUE(store_->set_pinned(a, true));
  EXPECT_TRUE(store_->reader().find(flat("a"))->pinned);
  put("b");
  put("c");
  EXPECT_EQ(retired_, Names{"b"});
  ASSERT_TRUE(store_->set_pinned(a, false));
  put("d");
  EXPECT_EQ(retired_, (Names{"b", "a"}));
  EXPECT_EQ(store_->set_pinned(a, true).error().code, Code::not_found);
}

TEST_F(StoreLimitsTest, WhatIsToBePushedStays) {
  open(450'000);
  put("a", pushed());
  put("b");
  put("c");
  put("d");
  put("e");
  EXPECT_EQ(retired_, Names{"b"});
  EXPECT_EQ(store_->push_queue().stats().waiting, 1u);
}

TEST_F(StoreLimitsTest, AQueueOfMoreThanHalfTheStoreGivesWay) {
  open(350'000);
  put("a", pushed());
  put("b", pushed());
  put("c", pushed());
  put("d");
  EXPECT_EQ(retired_, Names{"a"});
  EXPECT_EQ(store_->push_queue().stats().dropped, 1u);
  EXPECT_EQ(store_->push_queue().stats().waiting, 2u);
}

TEST_F(StoreLimitsTest, ParkedPushesGiveWayAndAreCounted) {
  open(350'000);
  put("a", pushed());
  auto job = store_->push_queue().take("r", PushQueue::Order::oldest_first, 1);
  ASSERT_TRUE(job && *job);
  ASSERT_TRUE(store_->push_queue().park(**job, "refused"));
  put("b");
  put("c");
  put("d");
  EXPECT_EQ(retired_, Names{"a"});
  EXPECT_EQ(store_->push_queue().stats().dropped, 1u);
  EXPECT_EQ(store_->push_queue().stats().parked, 0u);
}

TEST_F(StoreLimitsTest, WhatCannotFitIsRefusedAndNothingIsKept) {
  open(250'000);
  auto a = put("a");
  auto refused = put_tree(*store_, flat("big"), {{"1", bytes_of(200'000, 50)}, {"2", bytes_of(200'000, 51)}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::no_space);
  EXPECT_FALSE(has("big"));
  ASSERT_TRUE(has("a"));
  ASSERT_TRUE(store_->set_pinned(a, true));
  refused = put_tree(*store_, flat("two"), {{"1", bytes_of(200'000, 50)}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::no_space);
  EXPECT_TRUE(has("a"));
  ASSERT_TRUE(store_->flush());
  EXPECT_TRUE(std::filesystem::is_empty(paths_.intakes()));
}

TEST_F(StoreLimitsTest, RetiredBytesCountAsGoneUpToHalfAStore) {
  open(350'000, 0, false);
  for (const char* name : {"a", "b", "c", "d"}) put(name);
  EXPECT_EQ(retired_, Names{"a"});
  EXPECT_GT(store_->stats().bytes, 350'000u);
  put("e");
  auto refused = put_tree(*store_, flat("f"), {{"f", bytes_of(100'000, 77)}});
  ASSERT_FALSE(refused) << "nobody lets go: the disk stays bounded";
  EXPECT_EQ(refused.error().code, Code::no_space);
  auto retired = store_->retired();
  ASSERT_TRUE(retired);
  for (const auto& entry : *retired) ASSERT_TRUE(store_->release(entry.id));
  EXPECT_TRUE(put_tree(*store_, flat("f"), {{"f", bytes_of(100'000, 77)}}));
}

TEST_F(StoreLimitsTest, MakeRoomSaysWhatItRetired) {
  open(1'000'000);
  put("a");
  put("b");
  auto retired = store_->make_room(850'000, 0);
  ASSERT_TRUE(retired);
  ASSERT_EQ(retired->size(), 1u);
  EXPECT_EQ(retired->front().key.name, "a");
  EXPECT_TRUE(retired->front().retired);
}

class PushQueueTest : public StoreLimitsTest {
 protected:
  void SetUp() override { open(0); }
  PushQueue& queue() { return store_->push_queue(); }
  std::string take(PushQueue::Order order, int64_t now_ms = 1, const std::string& remote = "r") {
    auto job = queue().take(remote, order, now_ms);
    EXPECT_TRUE(job) << why(job);
    if (!job || !*job) return "";
    last_ = **job;
    return last_.key.name;
  }
  uint64_t put_sized(const std::string& name, size_t size) {
    auto committed = put_tree(*store_, flat(name), {{"f", bytes_of(size, ++seed_)}}, pushed());
    EXPECT_TRUE(committed);
    return committed->entry_id;
  }
  PushJob last_;
};

TEST_F(PushQueueTest, OrdersBySizeOrByAge) {
  put_sized("a", 500);
  put_sized("b", 100);
  put_sized("c", 300);
  EXPECT_EQ(queue().stats().waiting, 3u);
  EXPECT_EQ(queue().stats().waiting_bytes, 900u);
  EXPECT_EQ(take(PushQueue::Order::smallest_first), "b");
  EXPECT_EQ(take(PushQueue::Order::oldest_first), "a");
  EXPECT_EQ(queue().stats().running, 2u);
  EXPECT_EQ(queue().stats().waiting, 1u);
  EXPECT_EQ(take(PushQueue::Order::oldest_first, 1, "other"), "");
  EXPECT_EQ(take(PushQueue::Order::oldest_first), "c");
  EXPECT_EQ(take(PushQueue::Order::oldest_first), "");
  auto pending = queue().pending(10);
  ASSERT_EQ(pending->size(), 3u);
  EXPECT_EQ(pending->front().key.name, "b");
  ASSERT_TRUE(queue().done(last_));
  EXPECT_EQ(queue().pending(10)->size(), 2u);
  EXPECT_EQ(queue().stats().waiting_bytes, 600u);
}

TEST_F(PushQueueTest, RetriesWaitForTheirTime) {
  put_sized("a", 500);
  ASSERT_EQ(take(PushQueue::Order::oldest_first), "a");
  EXPECT_FALSE(*queue().next_due_ms("r")) << "a running one is not due";
  ASSERT_TRUE(queue().retry(last_, 5000, "timed out"));
  EXPECT_EQ(**queue().next_due_ms("r"), 5000);
  EXPECT_EQ(take(PushQueue::Order::oldest_first, 4999), "");
  EXPECT_EQ(take(PushQueue::Order::oldest_first, 5000), "a");
  EXPECT_EQ(last_.attempts, 1);
}

TEST_F(PushQueueTest, ParkedOnesWaitForUnpark) {
  put_sized("a", 500);
  ASSERT_EQ(take(PushQueue::Order::oldest_first), "a");
  ASSERT_TRUE(queue().park(last_, "too large for the server"));
  EXPECT_EQ(take(PushQueue::Order::oldest_first), "");
  EXPECT_EQ(queue().stats().parked, 1u);
  EXPECT_EQ(queue().stats().waiting_bytes, 0u);
  auto parked = queue().parked(10);
  ASSERT_EQ(parked->size(), 1u);
  EXPECT_EQ(parked->front().why, "too large for the server");
  EXPECT_EQ(parked->front().job.key.name, "a");
  EXPECT_EQ(parked->front().since_ms, clock_.unix_ms());
  EXPECT_EQ(*queue().unpark(), 1u);
  EXPECT_EQ(take(PushQueue::Order::oldest_first), "a");
}

TEST_F(PushQueueTest, AnEntryIsInItUntilItsLastPushIsDone) {
  auto a = put_sized("a", 500);
  EXPECT_TRUE(*queue().has(a)) << "it waits";
  EXPECT_FALSE(*queue().has(a + 1));
  ASSERT_EQ(take(PushQueue::Order::oldest_first), "a");
  EXPECT_TRUE(*queue().has(a)) << "it runs";
  ASSERT_TRUE(queue().park(last_, "refused"));
  EXPECT_TRUE(*queue().has(a)) << "it is parked";
  ASSERT_EQ(*queue().unpark(), 1u);
  ASSERT_EQ(take(PushQueue::Order::oldest_first), "a");
  ASSERT_TRUE(queue().done(last_));
  EXPECT_FALSE(*queue().has(a));
}

TEST_F(PushQueueTest, AJobOfADaemonThatEndedWaitsAgain) {
  put_sized("a", 500);
  ASSERT_EQ(take(PushQueue::Order::oldest_first), "a");
  store_.reset();
  open(0);
  EXPECT_EQ(queue().stats().waiting, 1u);
  EXPECT_EQ(queue().stats().running, 0u);
  EXPECT_EQ(take(PushQueue::Order::oldest_first), "a");
}

TEST_F(PushQueueTest, AnEntryThatIsRetiredIsNotPushed) {
  auto a = put_sized("a", 500);
  put_sized("b", 500);
  ASSERT_TRUE(store_->retire(a, "test"));
  EXPECT_EQ(queue().stats().waiting, 1u);
  EXPECT_EQ(take(PushQueue::Order::oldest_first), "b");
  // Replaced while it runs: the job ends without a trace, the new one waits.
  put_sized("b", 400);
  ASSERT_TRUE(queue().done(last_));
  EXPECT_EQ(queue().stats().waiting, 1u);
  EXPECT_EQ(queue().stats().waiting_bytes, 400u);
}

}  // namespace
}  // namespace hitfs
