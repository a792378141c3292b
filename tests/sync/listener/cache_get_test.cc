#include <atomic>
#include <thread>

#include "tests/sync/listener/cache_fixture.h"

namespace hitfs {
namespace {

using testing::RawConnection;

class CacheGetTest : public testing::CacheTest {
 protected:
  // The daemon finds for any key an artifact that is the key's text.
  void daemon_fetches() {
    daemon_.answer("/v1/fetch", [this](const Json& body) {
      auto text = body["key"].text_or("");
      auto entry = reader_.put(Key::parse(text, "").value(), text);
      return json_reply(200, Json::Object{{"outcome", "here"}, {"entry", entry.id}, {"why", ""}});
    });
  }
};

constexpr const char* kAbsent = R"({"outcome": "absent", "entry": 0, "why": ""})";

TEST_F(CacheGetTest, WhatIsHereIsServedExactlyAndWithoutAskingTheDaemon) {
  std::string artifact(3'000'000, 'a');
  artifact[1'500'000] = '\0';
  auto entry = reader_.put({"", "nx", "123"}, artifact);
  start();
  auto reply = get("/v1/cache/123");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, artifact);
  EXPECT_EQ(reply.headers["content-type"], "application/octet-stream");
  EXPECT_EQ(daemon_.bodies("/v1/fetch").size(), 0u);
}

TEST_F(CacheGetTest, AHitGoesOnWithoutTheDaemonAndAMissIsInstant) {
  reader_.put({"", "nx", "123"}, "artifact");
  start_without_daemon();
  EXPECT_EQ(get("/v1/cache/123").body, "artifact");
  auto begin = system_clock().now();
  EXPECT_EQ(get("/v1/cache/124").status, 404);
  EXPECT_LT(system_clock().now() - begin, std::chrono::seconds(1));
}

TEST_F(CacheGetTest, WhatIsNotHereIsFetched) {
  daemon_fetches();
  start();
  EXPECT_EQ(get("/v1/cache/7").body, "nx/7");
  auto asked = daemon_.bodies("/v1/fetch");
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0]["key"].text_or(""), "nx/7");
  EXPECT_GT(asked[0]["wait_ms"].integer_or(0), 5000);
}

TEST_F(CacheGetTest, APullThatTakesLongIsAskedForAgain) {
  std::atomic<int> questions{0};
  daemon_.answer("/v1/fetch", [&](const Json&) {
    if (++questions < 4) return json_reply(200, Json::Object{{"outcome", "pending"}});
    reader_.put({"", "nx", "7"}, "at last");
    return json_reply(200, Json::Object{{"outcome", "here"}, {"entry", 1001}});
  });
  start();
  EXPECT_EQ(get("/v1/cache/7").body, "at last");
  EXPECT_EQ(questions, 4);
}

TEST_F(CacheGetTest, EveryFaultOfTheDaemonIsAMiss) {
  const char* kAnswers[] = {kAbsent, R"({"outcome": "unavailable", "why": "breaker"})", R"({"outcome": "nonsense"})",
                            R"({"outcome": "here", "entry": 5})", "[]"};
  int number = 100;
  start();
  for (const char* json : kAnswers) {
    daemon_.answer("/v1/fetch", json);
    EXPECT_EQ(get("/v1/cache/" + std::to_string(++number)).status, 404) << json;
  }
  daemon_.answer("/v1/fetch", [](const Json&) { return text_reply(500, "<html>"); });
  EXPECT_EQ(get("/v1/cache/7").status, 404);
}

TEST_F(CacheGetTest, ADaemonThatDiesWhileItIsAskedIsAMiss) {
  start();
  RawConnection connection(socket_.port);
  connection.send("GET /v1/cache/7 HTTP/1.1\r\nHost: 127.0.0.1\r\n" + std::string(kBearer) + "\r\n");
  ASSERT_TRUE(daemon_.wait_waiting(1));
  daemon_.stop();
  EXPECT_EQ(connection.read_reply().status, 404);
}

TEST_F(CacheGetTest, ATreeIsPackedByTheDaemonAndServed) {
  Key key{"", "nx", "55"};
  reader_.put_tree(key);
  daemon_.answer("/v1/artifact", [&](const Json& body) {
    EXPECT_EQ(body["key"].text_or(""), "nx/55");
    reader_.put(key, "packed");
    return json_reply(200, Json::Object{{"size", 6}});
  });
  start();
  EXPECT_EQ(get("/v1/cache/55").body, "packed");
}

TEST_F(CacheGetTest, ATreeThatCannotBePackedIsAMiss) {
  reader_.put_tree({"", "nx", "55"});
  daemon_.answer("/v1/artifact", [](const Json&) {
    return json_reply(500, Json::Object{{"code", "internal"}, {"error", "no"}});
  });
  start();
  EXPECT_EQ(get("/v1/cache/55").status, 404);
  daemon_.answer("/v1/artifact", R"({"size": 6})");  // says so, but it is not there
  EXPECT_EQ(get("/v1/cache/55").status, 404);
  daemon_.stop();
  EXPECT_EQ(get("/v1/cache/55").status, 404);
}

TEST_F(CacheGetTest, AStoredFailureIsNeverServed) {
  reader_.put({"", "nx", "9"}, "artifact", /*exit_code=*/1);
  start();
  EXPECT_EQ(get("/v1/cache/9").status, 404);
}

TEST_F(CacheGetTest, BytesThatAreMissingOrCutAreAMissAndNotACutBody) {
  auto cut = reader_.put({"", "nx", "1"}, "0123456789");
  auto gone = reader_.put({"", "nx", "2"}, "abcdefghij");
  std::filesystem::resize_file(reader_.file_of(*cut.artifact), testing::FakeStoreReader::kOffset + 9);
  std::filesystem::remove(reader_.file_of(*gone.artifact));
  start();
  EXPECT_EQ(get("/v1/cache/1").status, 404);
  EXPECT_EQ(get("/v1/cache/2").status, 404);
}

TEST_F(CacheGetTest, OnlyTheRandomTokenIsKnown) {
  reader_.put({"", "nx", "123"}, "artifact");
  start();
  for (const char* headers :
       {"", "Authorization: Bearer wrong\r\n", "Authorization: Bearer s3cret2\r\n", "Authorization: Bearer \r\n",
        "Authorization: Basic s3cret\r\n", "Authorization: Bearer s3cret\r\nAuthorization: Bearer s3cret\r\n"}) {
    for (const char* target : {"/v1/cache/123", "/other"}) {
      auto reply = get(target, headers);
      EXPECT_EQ(reply.status, 401) << headers;
      EXPECT_EQ(reply.headers["content-type"], "text/plain");
      EXPECT_EQ(put(target, "body", headers).status, 401) << headers;
    }
  }
  EXPECT_EQ(get("/v1/cache/123", "authorization: bearer s3cret\r\n").status, 200);
}

TEST_F(CacheGetTest, OnlyTheExactPathIsACachePath) {
  reader_.put({"", "nx", "1"}, "artifact");
  daemon_.answer("/v1/fetch", kAbsent);
  start();
  for (const std::string& target :
       {std::string("//v1/cache/1"), std::string("/v1/cache/1/"), std::string("/v1/cache/%31"),
        std::string("/v1/cache/../cache/1"), std::string("/v1/cache/"), std::string("/v1/cache"),
        std::string("/v1/cache/1?x=y"), std::string("/v1/cache/abc"), std::string("/v1%2fcache/1"),
        std::string("/V1/cache/1"), "/v1/cache/" + std::string(256, '1'), std::string("/v1/cache/-1"), std::string("/"),
        std::string("/v1/cache/1;x"), std::string("/v1/cache//1")}) {
    EXPECT_EQ(get(target).status, 404) << target;
    EXPECT_EQ(put(target, "body").status, 403) << target;
  }
  auto asked = daemon_.asked();
  EXPECT_TRUE(std::none_of(asked.begin(), asked.end(), [](const auto& one) { return one.path != "/v1/uses"; }));
  EXPECT_EQ(get("/v1/cache/1").status, 200);
  EXPECT_EQ(get("/v1/cache/" + std::string(255, '1')).status, 404);
  EXPECT_EQ(daemon_.bodies("/v1/fetch").size(), 1u);
}

TEST_F(CacheGetTest, AForeignHostIsRefusedWhateverItsToken) {
  reader_.put({"", "nx", "1"}, "artifact");
  start();
  auto with_host = [&](const std::string& host) {
    RawConnection connection(socket_.port);
    connection.send("GET /v1/cache/1 HTTP/1.1\r\nHost: " + host + "\r\n" + kBearer + "\r\n");
    return connection.read_reply().status;
  };
  EXPECT_EQ(with_host("evil.example"), 403);
  EXPECT_EQ(with_host("127.0.0.1.evil.example:80"), 403);
  EXPECT_EQ(with_host("localhost:4711"), 200);
  EXPECT_EQ(with_host("[::1]"), 200);
}

TEST_F(CacheGetTest, HeadTellsTheLengthOfWhatIsHereAndNeverFetches) {
  reader_.put({"", "nx", "1"}, "artifact");
  start();
  auto here = testing::request(socket_.port, "HEAD", "/v1/cache/1", kBearer);
  EXPECT_EQ(here.status, 200);
  EXPECT_EQ(here.headers["content-length"], "8");
  EXPECT_EQ(testing::request(socket_.port, "HEAD", "/v1/cache/2", kBearer).status, 404);
  EXPECT_EQ(daemon_.bodies("/v1/fetch").size(), 0u);
}

TEST_F(CacheGetTest, OtherMethodsAreRefused) {
  start();
  EXPECT_EQ(testing::request(socket_.port, "DELETE", "/v1/cache/1", kBearer).status, 405);
  EXPECT_EQ(testing::request(socket_.port, "POST", "/v1/cache/1", kBearer, "x").status, 405);
}

TEST_F(CacheGetTest, HitsAndMissesAreReported) {
  auto entry = reader_.put({"", "nx", "1"}, "artifact");
  daemon_.answer("/v1/fetch", kAbsent);
  daemon_.answer("/v1/uses", "{}");
  start();
  EXPECT_EQ(get("/v1/cache/1").status, 200);
  EXPECT_EQ(get("/v1/cache/2").status, 404);
  uses_->flush();
  std::string reported;
  for (const auto& body : daemon_.bodies("/v1/uses")) {
    for (const auto& use : body["uses"].items()) reported += use.dump();
  }
  EXPECT_EQ(reported, R"({"entry":)" + std::to_string(entry.id) +
                          R"(,"hit":true,"key":"nx/1"}{"entry":0,"hit":false,"key":"nx/2"})");
}

TEST_F(CacheGetTest, HundredsOfConnectionsAtOnceAreAllAnswered) {
  std::string artifact(200'000, 'x');
  for (int i = 0; i < 300; i += 2) reader_.put({"", "nx", std::to_string(i)}, artifact);
  daemon_fetches();
  start();
  std::vector<std::unique_ptr<RawConnection>> connections;
  for (int i = 0; i < 300; ++i) {
    connections.push_back(std::make_unique<RawConnection>(socket_.port));
    connections.back()->send("GET /v1/cache/" + std::to_string(i) + " HTTP/1.1\r\nHost: localhost\r\n" + kBearer +
                             "\r\n");
  }
  for (int i = 0; i < 300; ++i) {
    auto reply = connections[static_cast<size_t>(i)]->read_reply();
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, i % 2 == 0 ? artifact : "nx/" + std::to_string(i));
  }
}

TEST_F(CacheGetTest, AnOrderlyEndAnswersWhatWaitsWithAMiss) {
  start();
  std::vector<std::unique_ptr<RawConnection>> waiting;
  for (int i = 0; i < 20; ++i) {
    waiting.push_back(std::make_unique<RawConnection>(socket_.port));
    waiting.back()->send("GET /v1/cache/" + std::to_string(i) + " HTTP/1.1\r\nHost: localhost\r\n" + kBearer + "\r\n");
  }
  ASSERT_TRUE(daemon_.wait_waiting(20));
  end();
  for (auto& connection : waiting) EXPECT_EQ(connection->read_reply().status, 404);
}

}  // namespace
}  // namespace hitfs
