#include <gtest/gtest.h>

#include <future>

#include "sync/listener/event_follower.h"
#include "sync/listener/use_reporter.h"
#include "tests/support/temp_dir.h"
#include "tests/support/toy_daemon.h"

namespace hitfs {
namespace {

class UsesAndEventsTest : public ::testing::Test {
 protected:
  static Use use(int number) { return {{"", "nx", std::to_string(number)}, 7, true}; }

  testing::TempDir dir_;
  StorePaths paths_{dir_.path()};
  testing::ToyDaemon daemon_;
  std::unique_ptr<DaemonClient> client_ = DaemonClient::open(paths_);
};

size_t count_uses(testing::ToyDaemon& daemon) {
  size_t count = 0;
  for (const auto& body : daemon.bodies("/v1/uses")) count += body["uses"].items().size();
  return count;
}

TEST_F(UsesAndEventsTest, ABatchIsSentWhenItIsFull) {
  daemon_.answer("/v1/uses", "{}");
  daemon_.start(paths_);
  UseReporter uses(*client_, "endpoint");
  for (size_t i = 0; i < UseReporter::kBatch; ++i) uses.add(use(static_cast<int>(i)));
  EXPECT_TRUE(daemon_.wait_asked("/v1/uses", 1));
}

TEST_F(UsesAndEventsTest, WhatTheDaemonDidNotHearIsSentAgainInItsOrder) {
  UseReporter uses(*client_, "endpoint");
  uses.add(use(1));
  uses.flush();
  uses.add(use(2));
  daemon_.answer("/v1/uses", "{}");
  daemon_.start(paths_);
  uses.flush();
  ASSERT_EQ(count_uses(daemon_), 2u);
  EXPECT_EQ(daemon_.bodies("/v1/uses").back()["uses"].items().back()["key"].text_or(""), "nx/2");
}

TEST_F(UsesAndEventsTest, WithoutADaemonABoundedNumberIsKept) {
  UseReporter uses(*client_, "endpoint");
  for (size_t i = 0; i < 3 * UseReporter::kMostKept; ++i) uses.add(use(static_cast<int>(i)));
  daemon_.answer("/v1/uses", "{}");
  daemon_.start(paths_);
  uses.flush();
  EXPECT_LE(count_uses(daemon_), UseReporter::kMostKept + UseReporter::kBatch);
  EXPECT_GT(count_uses(daemon_), 0u);
}

TEST_F(UsesAndEventsTest, AFlushIncludesWhatAnotherThreadIsSending) {
  std::promise<void> go;
  auto gone = go.get_future().share();
  daemon_.answer("/v1/uses", [gone](const Json&) {
    gone.wait();
    return json_reply(200, Json::Object{});
  });
  daemon_.start(paths_);
  UseReporter uses(*client_, "endpoint");
  uses.add(use(1));
  auto first = std::async(std::launch::async, [&] { uses.flush(); });
  ASSERT_TRUE(daemon_.wait_asked("/v1/uses", 1));
  auto second = std::async(std::launch::async, [&] { uses.flush(); });
  EXPECT_EQ(second.wait_for(Milliseconds(100)), std::future_status::timeout);
  go.set_value();
  second.wait();
  EXPECT_EQ(count_uses(daemon_), 1u);
}

TEST_F(UsesAndEventsTest, AReportIsDoneBeforeTheNextQuestionForEvents) {
  daemon_.answer("/v1/uses", "{}");
  std::atomic<int> polls{0};
  daemon_.answer("/v1/events", [&](const Json&) {
    if (++polls == 1) {
      return json_reply(200, Json::parse(R"({"reset": true, "epoch": "e", "next": 4, "events": [
        {"number": 4, "kind": "report", "key": "", "entry": 0}]})")
                                 .value());
    }
    EXPECT_EQ(count_uses(daemon_), 1u);
    return text_reply(503, "the rest of the test");
  });
  UseReporter uses(*client_, "endpoint");
  uses.add(use(1));
  daemon_.start(paths_);
  EventFollower events(*client_, "endpoint", [&] { uses.flush(); });
  ASSERT_TRUE(daemon_.wait_asked("/v1/events", 2));
  std::vector<std::string> queries;
  for (const auto& asked : daemon_.asked()) {
    if (asked.path == "/v1/events") queries.push_back(asked.query);
  }
  EXPECT_EQ(queries[0], "front=endpoint&epoch=&after=0");
  EXPECT_EQ(queries[1], "front=endpoint&epoch=e&after=4");
  client_->interrupt();
  daemon_.stop();  // its answer refers to this function's variables
}

}  // namespace
}  // namespace hitfs
