#include "store/daemon_client.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/support/temp_dir.h"
#include "tests/support/toy_daemon.h"

// The client of store/ against the HTTP server of sync/, as it is used; so it is a test of both.
namespace hitfs {
namespace {

Deadline soon() { return Deadline::after(std::chrono::seconds(20)); }
const Key kKey{"", "nx", "123"};

class DaemonClientTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  StorePaths paths_{dir_.path()};
  testing::ToyDaemon daemon_;
};

TEST_F(DaemonClientTest, SpeaksTheRoutesOfTheDaemon) {
  daemon_.answer("/v1/commit", R"({"entry": 4711, "replaced": true})");
  daemon_.answer("/v1/store", R"({"outcome": "different", "why": "other bytes"})");
  daemon_.answer("/v1/events", R"({"reset": true, "epoch": "e1", "next": 9, "events": [
      {"number": 8, "kind": "retired", "key": "nx/123", "entry": 5}, {"number": 9, "kind": "report", "key": "", "entry": 0}]})");
  daemon_.answer("/v1/released", "{}");
  daemon_.answer("/v1/uses", "{}");
  daemon_.start(paths_);
  auto client = DaemonClient::open(paths_);

  auto committed = client->commit("m1", "d7", true, soon());
  ASSERT_TRUE(committed) << committed.error().message;
  EXPECT_EQ(committed->entry_id, 4711u);
  EXPECT_TRUE(committed->replaced);
  auto stored = client->store("m1", "f", kKey, soon());
  ASSERT_TRUE(stored) << stored.error().message;
  EXPECT_EQ(stored->outcome, StoreOutcome::different);
  EXPECT_EQ(stored->why, "other bytes");
  auto events = client->events("m 1", "e0", 7, soon());
  ASSERT_TRUE(events) << events.error().message;
  EXPECT_TRUE(events->reset);
  EXPECT_EQ(events->epoch, "e1");
  EXPECT_EQ(events->next, 9u);
  ASSERT_EQ(events->events.size(), 2u);
  EXPECT_EQ(events->events[0].key, kKey);
  EXPECT_EQ(events->events[0].entry_id, 5u);
  EXPECT_EQ(events->events[1].kind, DaemonEvent::Kind::report);
  EXPECT_TRUE(client->released("m1", {5, 6}, soon()));
  EXPECT_TRUE(client->uses("m1", {{kKey, 5, true}}, soon()));

  auto asked = daemon_.asked();
  ASSERT_EQ(asked.size(), 5u);
  EXPECT_EQ(asked[0].body.dump(), R"({"draft":"d7","durable":true,"front":"m1"})");
  EXPECT_EQ(asked[1].body.dump(), R"({"file":"f","front":"m1","key":"nx/123"})");
  EXPECT_EQ(asked[2].query, "front=m%201&epoch=e0&after=7");
  EXPECT_EQ(asked[3].body.dump(), R"({"entries":[5,6],"front":"m1"})");
  EXPECT_EQ(asked[4].body.dump(), R"({"front":"m1","uses":[{"entry":5,"hit":true,"key":"nx/123"}]})");
}

TEST_F(DaemonClientTest, AnErrorOfTheDaemonArrivesAsItWas) {
  daemon_.answer("/v1/store", [](const Json&) {
    return json_reply(507, Json::Object{{"code", "no_space"}, {"error", "store full"}});
  });
  daemon_.answer("/v1/odd", [](const Json&) { return text_reply(500, "<html>"); });
  daemon_.answer("/v1/garbage", [](const Json&) { return text_reply(200, "<html>"); });
  daemon_.start(paths_);
  auto client = DaemonClient::open(paths_);
  auto stored = client->store("m", "f", kKey, soon());
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code, Code::no_space);
  EXPECT_NE(stored.error().message.find("store full"), std::string::npos);
  EXPECT_EQ(client->call("GET", "/v1/odd", {}, soon()).error().code, Code::internal);
  EXPECT_EQ(client->call("GET", "/v1/garbage", {}, soon()).error().code, Code::internal);
}

TEST_F(DaemonClientTest, ADaemonThatIsNotThereIsUnavailableAtOnce) {
  auto client = DaemonClient::open(paths_);
  auto begin = system_clock().now();
  EXPECT_EQ(client->call("GET", "/v1/status", {}, soon()).error().code, Code::unavailable);
  std::promise<FetchReply> fetched;
  client->fetch(kKey, std::chrono::seconds(60), [&](FetchReply reply) { fetched.set_value(std::move(reply)); });
  EXPECT_EQ(fetched.get_future().get().outcome, FetchOutcome::unavailable);
  { auto dead = testing::listen_on_unix(paths_.daemon_socket()); }
  EXPECT_EQ(client->call("GET", "/v1/status", {}, soon()).error().code, Code::unavailable);
  EXPECT_LT(system_clock().now() - begin, std::chrono::seconds(1));
}

TEST_F(DaemonClientTest, AnotherDaemonIsFoundOnTheSameSocket) {
  daemon_.answer("/v1/status", R"({"n": 1})");
  daemon_.start(paths_);
  auto client = DaemonClient::open(paths_);
  ASSERT_TRUE(client->call("GET", "/v1/status", {}, soon()));
  daemon_.stop();
  std::filesystem::remove(paths_.daemon_socket());
  daemon_.answer("/v1/status", R"({"n": 2})");
  daemon_.start(paths_);
  auto second = client->call("GET", "/v1/status", {}, soon());
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ((*second)["n"].integer_or(0), 2);
}

TEST_F(DaemonClientTest, ReachesASocketBehindALongPath) {
  StorePaths deep{dir_.path() / std::string(120, 'd')};
  std::filesystem::create_directory(deep.root);
  daemon_.answer("/v1/status", "{}");
  daemon_.start(paths_);  // the test's own server cannot bind a long path either: the file moves
  std::filesystem::rename(paths_.daemon_socket(), deep.daemon_socket());
  auto client = DaemonClient::open(deep);
  auto status = client->call("GET", "/v1/status", {}, soon());
  EXPECT_TRUE(status) << status.error().message;
}

TEST_F(DaemonClientTest, ThousandsOfFetchesAreEachAnsweredOnce) {
  daemon_.answer("/v1/fetch", R"({"outcome": "here", "entry": 7, "why": ""})");
  daemon_.start(paths_);
  Guarded<int> here(0);  // outlives the client's thread, which wakes us
  auto client = DaemonClient::open(paths_);
  constexpr int kMany = 3000;
  for (int i = 0; i < kMany; ++i) {
    client->fetch(kKey, std::chrono::seconds(60), [&](FetchReply reply) {
      EXPECT_EQ(reply.outcome, FetchOutcome::here) << reply.why;
      EXPECT_EQ(reply.entry_id, 7u);
      ++*here.lock();
      here.notify_all();
    });
  }
  auto all = here.lock();
  EXPECT_TRUE(all.wait_until({}, soon().when(), [](int count) { return count == kMany; })) << *all;
}

TEST_F(DaemonClientTest, FetchesBeyondTheConnectionLimitStillKeepTheirWait) {
  daemon_.start(paths_);  // nobody answers /v1/fetch
  Guarded<int> ended(0);  // outlives the client's thread, which wakes us
  auto client = DaemonClient::open(paths_);
  auto done = [&](FetchReply reply) {
    EXPECT_EQ(reply.outcome, FetchOutcome::unavailable);
    ++*ended.lock();
    ended.notify_all();
  };
  for (int i = 0; i < 256; ++i) client->fetch(kKey, std::chrono::seconds(60), done);
  ASSERT_TRUE(daemon_.wait_waiting(256));
  for (int i = 0; i < 10; ++i) client->fetch(kKey, Milliseconds(50), done);
  {
    auto some = ended.lock();
    EXPECT_TRUE(some.wait_until({}, soon().when(), [](int count) { return count == 10; })) << *some;
  }
  // Another kind of call does not wait behind them.
  daemon_.answer("/v1/status", "{}");
  EXPECT_TRUE(client->call("GET", "/v1/status", {}, soon()));
  client.reset();
  EXPECT_EQ(*ended.lock(), 266);
}

TEST_F(DaemonClientTest, InterruptEndsCallsThatWait) {
  daemon_.start(paths_);
  auto client = DaemonClient::open(paths_);
  Code code = Code::internal;
  std::jthread caller([&] { code = client->events("m", "", 0, Deadline::never()).error().code; });
  ASSERT_TRUE(daemon_.wait_waiting(1));
  client->interrupt();
  caller.join();
  EXPECT_EQ(code, Code::unavailable);
  EXPECT_EQ(client->call("GET", "/v1/status", {}, soon()).error().code, Code::unavailable);
}

TEST_F(DaemonClientTest, ADaemonThatNeverAnswersIsUnavailableAtTheDeadline) {
  daemon_.start(paths_);
  auto client = DaemonClient::open(paths_);
  auto status = client->call("GET", "/v1/status", {}, Deadline::after(Milliseconds(50)));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::unavailable);
}

}  // namespace
}  // namespace hitfs
