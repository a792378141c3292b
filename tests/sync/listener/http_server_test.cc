#include "sync/listener/http_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "store/base/guarded.h"
#include "store/base/io.h"
#include "store/digest.h"
#include "tests/support/raw_http.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

using testing::listen_on_loopback;
using testing::listen_on_unix;
using testing::RawConnection;
using testing::TempDir;

// What a test wants to know about the bodies that arrived.
struct Seen {
  int completed = 0;
  int cut = 0;
  std::string body;
  uint64_t bytes = 0;
  std::vector<HttpRequest> requests;
};

class Toy final : public HttpHandler {
 public:
  std::unique_ptr<HttpTransaction> begin(const HttpRequest& request) override;

  Guarded<Seen> seen;
  Guarded<std::vector<std::shared_ptr<HttpResponder>>> parked;
  std::filesystem::path file;
  uint64_t body_fails_at = UINT64_MAX;
  std::function<void()> in_body;
};

// Echoes or counts; reports a cut body when it goes without complete().
class Echo final : public HttpTransaction {
 public:
  Echo(Toy& toy, bool slow, bool keep) : toy_(toy), slow_(slow), keep_(keep) {}
  ~Echo() override {
    if (!completed_) {
      ++toy_.seen.lock()->cut;
      toy_.seen.notify_all();
    }
  }
  Status body(std::span<const std::byte> bytes) override {
    if (toy_.in_body) toy_.in_body();
    size_ += bytes.size();
    if (size_ > toy_.body_fails_at) return Error{Code::no_space, "disk full"};
    if (keep_) text_ += io::as_text(bytes);
    hasher_.update(bytes);
    return Ok{};
  }
  void complete(HttpResponder responder) override {
    completed_ = true;
    auto seen = toy_.seen.lock();
    ++seen->completed;
    seen->bytes = size_;
    seen->body = text_;
    responder.send(text_reply(200, keep_ ? text_ : hasher_.finish().hex()));
  }
  bool body_may_block() const override { return slow_; }

 private:
  Toy& toy_;
  bool slow_, keep_, completed_ = false;
  uint64_t size_ = 0;
  std::string text_;
  Hasher hasher_;
};

// Never answers by itself.
class Park final : public HttpTransaction {
 public:
  explicit Park(Toy& toy) : toy_(toy) {}
  Status body(std::span<const std::byte>) override { return Ok{}; }
  void complete(HttpResponder responder) override {
    toy_.parked.lock()->push_back(std::make_shared<HttpResponder>(std::move(responder)));
    toy_.parked.notify_all();
  }

 private:
  Toy& toy_;
};

std::unique_ptr<HttpTransaction> Toy::begin(const HttpRequest& request) {
  seen.lock()->requests.push_back(request);
  if (request.path == "/park") return std::make_unique<Park>(*this);
  if (request.path == "/slow") return std::make_unique<Echo>(*this, true, false);
  if (request.path == "/echo") return std::make_unique<Echo>(*this, false, true);
  if (request.path == "/deny") return answer(text_reply(403, "no\n"));
  if (request.path == "/unknown-token") {
    auto reply = text_reply(401, "who are you?\n");
    reply.close = true;
    return answer(std::move(reply));
  }
  if (request.path == "/json") {
    return with_json_body(100, [](const Json& body, HttpResponder responder) {
      responder.send(json_reply(200, Json::Object{{"got", body}}));
    });
  }
  if (request.path == "/file") {
    HttpReply reply;
    auto size = std::filesystem::file_size(file);
    reply.file = FileBody{io::open_read(file).value(), 10, size - 10};
    return answer(std::move(reply));
  }
  return answer(text_reply(200, request.path + "|" + request.query));
}

class HttpServerTest : public ::testing::Test {
 protected:
  void start(HttpServerOptions options = {}) {
    auto started = HttpServer::start(socket_.fd.get(), toy_, options);
    ASSERT_TRUE(started) << started.error().message;
    server_ = *std::move(started);
  }
  testing::RawReply get(std::string_view target) { return testing::request(socket_.port, "GET", target); }
  template <typename Ready>
  bool wait_parked(Ready ready) {
    auto parked = toy_.parked.lock();
    return parked.wait_until({}, Deadline::after(std::chrono::seconds(20)).when(), ready);
  }
  bool wait_cut(int cut) {
    auto seen = toy_.seen.lock();
    return seen.wait_until({}, Deadline::after(std::chrono::seconds(20)).when(),
                           [&](const Seen& now) { return now.cut == cut; });
  }

  TempDir dir_;
  testing::ListeningSocket socket_ = listen_on_loopback();
  Toy toy_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, PathsAndQueriesReachTheHandlerRaw) {
  start();
  for (std::string target : {"/a%2fb|", "/../x|", "//v1/cache/1|", "/a%00|", "/a+b?c=%20d+e&f|c=%20d+e&f", "/%zz|"}) {
    auto bar = target.find('|');
    auto query = target.substr(bar + 1);
    auto sent = target.substr(0, bar);
    auto reply = get(sent);
    EXPECT_EQ(reply.status, 200) << sent;
    EXPECT_EQ(reply.body, sent.substr(0, sent.find('?')) + "|" + query);
  }
}

TEST_F(HttpServerTest, ServesSeveralRequestsOnOneConnection) {
  start();
  RawConnection connection(socket_.port);
  for (int i = 0; i < 3; ++i) {
    connection.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
    EXPECT_EQ(connection.read_reply().body, "hi");
    connection.send("PUT /deny HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    EXPECT_EQ(connection.read_reply().status, 403);
  }
}

TEST_F(HttpServerTest, SpeaksOverAUnixSocket) {
  auto unix_socket = listen_on_unix(dir_ / "s");
  auto server = HttpServer::start(unix_socket.fd.get(), toy_, {});
  ASSERT_TRUE(server) << server.error().message;
  RawConnection connection(dir_ / "s");
  connection.send("POST /json HTTP/1.1\r\nHost: hitfs\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
  auto reply = connection.read_reply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "{\"got\":{\"a\":1}}");
  EXPECT_EQ(reply.headers["content-type"], "application/json");
}

TEST_F(HttpServerTest, AJsonBodyThatIsTooLargeOrNoJsonIs400) {
  start();
  EXPECT_EQ(testing::request(socket_.port, "POST", "/json", "", std::string(101, '1')).status, 400);
  auto reply = testing::request(socket_.port, "POST", "/json", "", "{]");
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("invalid_argument"), std::string::npos);
  EXPECT_EQ(testing::request(socket_.port, "POST", "/json").body, "{\"got\":null}");
}

TEST_F(HttpServerTest, AmbiguousFramingIsRefusedAndTheConnectionClosed) {
  start();
  const char* heads[] = {
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\nab",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nab",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\nab",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\nab",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nab",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\nab",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nab",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\nab",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\nab",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
      "PUT /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "GET /x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
      "GET /x HTTP/1.1\r\n\r\n",
      "GET /x HTTP/1.0\r\n\r\n",
      "GET http://x/x HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
      "G@T /x HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /x#y HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /x\x01y HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /x HTTP/1.1\r\nHost: x\r\nX: a\x01\r\n\r\n",
  };
  for (const char* head : heads) {
    RawConnection connection(socket_.port);
    connection.send(head);
    auto text = connection.read_to_end();
    ASSERT_TRUE(text) << "not closed: " << head;
    bool refused = text->empty() || text->starts_with("HTTP/1.1 400") || text->starts_with("HTTP/1.1 413");
    EXPECT_TRUE(refused) << *text << " for\n" << head;
    EXPECT_EQ(text->find(" 200 "), std::string::npos) << *text << " for\n" << head;
  }
  EXPECT_EQ(toy_.seen.lock()->requests.size(), 0u);
  EXPECT_EQ(get("/alive").status, 200);
}

TEST_F(HttpServerTest, GarbageAndNulBytesNeverReachTheHandler) {
  start();
  using namespace std::string_literals;
  for (const std::string& text :
       {"\r\n\r\n\r\n"s, "\0\0\0\0\r\n\r\n"s, "GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n"s, "GET\r\n\r\n"s,
        "GET /a HTTP/9.9\r\nHost: x\r\n\r\n"s, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s,
        "GET /a HTTP/1.1\r\nHost: x\r\nNo colon here\r\n\r\n"s}) {
    RawConnection connection(socket_.port);
    connection.send(text);
    connection.end_sending();
    auto reply = connection.read_reply();
    EXPECT_TRUE(reply.status == 0 || reply.status >= 400) << reply.status << " for " << text;
  }
  EXPECT_EQ(toy_.seen.lock()->requests.size(), 0u);
}

TEST_F(HttpServerTest, HeadersBeyondTheLimitAreRefused) {
  start();
  RawConnection connection(socket_.port);
  connection.send("GET /x HTTP/1.1\r\nHost: x\r\nX: " + std::string(1 << 20, 'a') + "\r\n\r\n");
  auto reply = connection.read_reply();
  EXPECT_TRUE(reply.status == 0 || reply.status >= 400) << reply.status;
  EXPECT_EQ(get("/alive").status, 200);
}

TEST_F(HttpServerTest, ACutBodyIsNeverComplete) {
  start();
  for (const char* path : {"/echo", "/slow"}) {
    RawConnection connection(socket_.port);
    connection.send("PUT " + std::string(path) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this");
    connection.end_sending();
    EXPECT_TRUE(connection.closes());
  }
  EXPECT_TRUE(wait_cut(2));
  EXPECT_EQ(toy_.seen.lock()->completed, 0);
}

TEST_F(HttpServerTest, AChunkedBodyWithoutItsEndIsNeverComplete) {
  start();
  RawConnection connection(socket_.port);
  connection.send("PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  connection.end_sending();
  EXPECT_TRUE(wait_cut(1));
  RawConnection whole(socket_.port);
  whole.send("PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  EXPECT_EQ(whole.read_reply().body, "abc");
}

TEST_F(HttpServerTest, ALargeBodyArrivesExactlyThroughTheBodyThreads) {
  start();
  std::string body(40'000'001, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 2654435761u >> 13);
  auto digest = Digest::of(io::as_bytes(body)).hex();
  std::vector<std::jthread> clients;
  std::atomic<int> right{0};
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      if (testing::request(socket_.port, "PUT", "/slow", "", body).body == digest) ++right;
    });
  }
  clients.clear();
  EXPECT_EQ(right, 4);
  EXPECT_EQ(toy_.seen.lock()->cut, 0);
}

TEST_F(HttpServerTest, ABodyThatWaitsForItsDiskHoldsUpNobodyElse) {
  Guarded<bool> go_on(false);
  toy_.in_body = [&] {
    auto now = go_on.lock();
    now.wait({}, [](bool value) { return value; });
  };
  start();
  std::vector<std::unique_ptr<RawConnection>> uploads;
  for (int i = 0; i < 20; ++i) {
    uploads.push_back(std::make_unique<RawConnection>(socket_.port));
    uploads.back()->send("PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(get("/x").status, 200);
  *go_on.lock() = true;
  go_on.notify_all();
  for (auto& upload : uploads) EXPECT_EQ(upload->read_reply().status, 200);
}

TEST_F(HttpServerTest, ABodyThatCannotBeKeptIsDrainedAndAnswered) {
  toy_.body_fails_at = 1000;
  start();
  for (const char* path : {"/echo", "/slow"}) {
    auto reply = testing::request(socket_.port, "PUT", path, "", std::string(5'000'000, 'x'));
    EXPECT_EQ(reply.status, 200) << path;
  }
  EXPECT_EQ(toy_.seen.lock()->completed, 2);
}

TEST_F(HttpServerTest, ADeniedUploadIsDrainedSoThatTheClientReadsTheAnswer) {
  start();
  RawConnection connection(socket_.port);
  connection.send("PUT /deny HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n");
  EXPECT_TRUE(connection.send(std::string(30'000'000, 'x')));
  EXPECT_EQ(connection.read_reply().status, 403);
  connection.send("GET /again HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(connection.read_reply().status, 200);
}

TEST_F(HttpServerTest, AnUnknownClientsLargeUploadIsAnsweredAtOnce) {
  start();
  RawConnection connection(socket_.port);
  connection.send("PUT /unknown-token HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n");
  auto reply = connection.read_reply();
  EXPECT_EQ(reply.status, 401);
  EXPECT_EQ(reply.headers["content-type"], "text/plain");
  EXPECT_TRUE(connection.closes());
}

TEST_F(HttpServerTest, AHeldBackBodyIsNotAskedForWhenItIsNotWanted) {
  start();
  RawConnection denied(socket_.port);
  denied.send("PUT /deny HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(denied.read_reply().status, 403);
  RawConnection wanted(socket_.port);
  wanted.send("PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  wanted.send("hello");
  EXPECT_EQ(wanted.read_reply().body, "hello");
}

TEST_F(HttpServerTest, HundredsOfRequestsMayWaitForTheirAnswer) {
  start();
  constexpr size_t kMany = 400;
  std::vector<std::unique_ptr<RawConnection>> waiting;
  for (size_t i = 0; i < kMany; ++i) {
    waiting.push_back(std::make_unique<RawConnection>(socket_.port));
    waiting.back()->send("GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  ASSERT_TRUE(wait_parked([](const auto& parked) { return parked.size() == kMany; }));
  EXPECT_EQ(get("/x").status, 200);
  for (const auto& responder : *toy_.parked.lock()) responder->send(text_reply(404, "late\n"));
  for (auto& connection : waiting) EXPECT_EQ(connection->read_reply().status, 404);
}

TEST_F(HttpServerTest, AResponderThatIsDroppedAnswers500) {
  start();
  RawConnection connection(socket_.port);
  connection.send("GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(wait_parked([](const auto& parked) { return parked.size() == 1; }));
  toy_.parked.lock()->clear();
  EXPECT_EQ(connection.read_reply().status, 500);
}

TEST_F(HttpServerTest, FilesAreSentFromTheirOffset) {
  toy_.file = dir_ / "file";
  std::ofstream(toy_.file) << "0123456789" << std::string(1'000'000, 'x') << "end";
  start();
  auto reply = get("/file");
  EXPECT_EQ(reply.body, std::string(1'000'000, 'x') + "end");
  auto head = testing::request(socket_.port, "HEAD", "/file");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers["content-length"], "1000003");
}

TEST_F(HttpServerTest, HeadersThatDripInDoNotHoldAConnection) {
  start({.idle_timeout = Milliseconds(300)});
  RawConnection connection(socket_.port);
  connection.send("GET /x HTTP/1.1\r\nHost: x\r\nX: ");
  auto begin = system_clock().now();
  // Each byte comes well before the limit of the library; only the limit for the whole head can end this.
  while (connection.send("a") && !connection.closes(Milliseconds(50))) {
    ASSERT_LT(system_clock().now() - begin, std::chrono::seconds(20));
  }
  EXPECT_EQ(toy_.seen.lock()->requests.size(), 0u);
}

TEST_F(HttpServerTest, AnAnswerThatTakesLongerThanTheIdleLimitStillComes) {
  start({.idle_timeout = Milliseconds(100)});
  RawConnection connection(socket_.port);
  connection.send("GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(wait_parked([](const auto& parked) { return parked.size() == 1; }));
  EXPECT_FALSE(connection.closes(Milliseconds(1500)));
  toy_.parked.lock()->front()->send(text_reply(200, "late"));
  EXPECT_EQ(connection.read_reply().body, "late");
}

TEST_F(HttpServerTest, EndingAnswersWhatWaitsAndLeavesTheSocketToOthers) {
  start();
  std::vector<std::unique_ptr<RawConnection>> waiting;
  for (int i = 0; i < 50; ++i) {
    waiting.push_back(std::make_unique<RawConnection>(socket_.port));
    waiting.back()->send("GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  RawConnection upload(socket_.port);
  upload.send("PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nbegin");
  ASSERT_TRUE(wait_parked([](const auto& parked) { return parked.size() == 50; }));
  server_.reset();
  for (auto& connection : waiting) EXPECT_EQ(connection->read_reply().status, 503);
  EXPECT_EQ(upload.read_reply().status, 0);
  EXPECT_EQ(toy_.seen.lock()->completed, 0);
  toy_.parked.lock()->front()->send(text_reply(200, "too late"));  // harmless

  // A connect while nobody serves waits in the backlog for the next server on the same socket.
  RawConnection early(socket_.port);
  early.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  start();
  EXPECT_EQ(early.read_reply().status, 200);
}

TEST_F(HttpServerTest, FinishWaitsForRequestsUnderWay) {
  start();
  RawConnection connection(socket_.port);
  connection.send("GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(wait_parked([](const auto& parked) { return parked.size() == 1; }));
  EXPECT_EQ(server_->requests_under_way(), 1u);
  EXPECT_FALSE(server_->finish(Milliseconds(1)));
  toy_.parked.lock()->front()->send(text_reply(200, "x"));
  EXPECT_TRUE(server_->finish(Milliseconds(20000)));
  EXPECT_EQ(connection.read_reply().status, 200);
}

TEST_F(HttpServerTest, ACertificateThatIsNoneIsRefused) {
  auto server = HttpServer::start(socket_.fd.get(), toy_, {.tls_certificate_pem = "x", .tls_key_pem = "y"});
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code, Code::invalid_argument);
}

}  // namespace
}  // namespace hitfs
