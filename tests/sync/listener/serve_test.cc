#include "sync/listener/token_file.h"
#include "tests/sync/listener/cache_fixture.h"

namespace hitfs {
namespace {

// `hitfs serve`: tokens with rights and scopes.
class ServeTest : public testing::CacheTest {
 protected:
  void SetUp() override {
    CacheTest::SetUp();
    rules_.kind = ListenerKind::serve;
    both_ = add({.name = "both", .rights = {.read = true, .write = true}});
    reader_token_ = add({.name = "reader", .rights = {.read = true, .write = false}});
    writer_ = add({.name = "writer", .rights = {.read = false, .write = true}});
    request_ = add({.name = "pull-request",
                    .rights = {.read = true, .write = true},
                    .read_scopes = {"pr/1", ""},
                    .write_scope = "pr/1"});
    access_ = TokenAccess::open(file_).value();
    daemon_.answer("/v1/fetch", R"({"outcome": "absent"})");
    daemon_.answer("/v1/store", R"({"outcome": "stored"})");
  }

  std::string add(const NewToken& token) { return "Authorization: Bearer " + add_token(file_, token).value() + "\r\n"; }

  std::filesystem::path file_ = dir_ / "tokens.json";
  std::string both_, reader_token_, writer_, request_;
};

TEST_F(ServeTest, RightsDecide) {
  reader_.put({"", "nx", "1"}, "artifact");
  start();
  std::string unknown = "Authorization: Bearer hitfs_0000\r\n";
  struct Row {
    std::string headers;
    int get, put;
  };
  for (const auto& row : {Row{unknown, 401, 401}, Row{"", 401, 401}, Row{both_, 200, 200}, Row{reader_token_, 200, 403},
                          Row{writer_, 403, 200}}) {
    auto got = get("/v1/cache/1", row.headers);
    EXPECT_EQ(got.status, row.get) << row.headers;
    EXPECT_EQ(put("/v1/cache/2", "body", row.headers).status, row.put) << row.headers;
    EXPECT_EQ(got.headers["content-type"], row.get == 200 ? "application/octet-stream" : "text/plain");
  }
  EXPECT_EQ(testing::request(socket_.port, "HEAD", "/v1/cache/1", writer_).status, 403);
  EXPECT_EQ(testing::request(socket_.port, "DELETE", "/v1/cache/1", both_).status, 405);
  EXPECT_EQ(daemon_.bodies("/v1/store").size(), 2u);
}

TEST_F(ServeTest, ATokenReadsItsScopesInOrderAndWritesItsOwn) {
  reader_.put({"", "nx", "1"}, "of main");
  reader_.put({"pr/1", "nx", "1"}, "of the request");
  reader_.put({"", "nx", "2"}, "of main");
  reader_.put({"pr/2", "nx", "3"}, "of another");
  start();
  EXPECT_EQ(get("/v1/cache/1", request_).body, "of the request");
  EXPECT_EQ(get("/v1/cache/2", request_).body, "of main");
  EXPECT_EQ(get("/v1/cache/3", request_).status, 404);
  EXPECT_EQ(get("/v1/cache/1", both_).body, "of main");
  EXPECT_EQ(put("/v1/cache/4", "body", request_).status, 200);
  EXPECT_EQ(put("/v1/cache/4", "body", both_).status, 200);
  auto stored = daemon_.bodies("/v1/store");
  ASSERT_EQ(stored.size(), 2u);
  EXPECT_EQ(stored[0]["key"].text_or(""), "pr%2F1:nx/4");
  EXPECT_EQ(stored[1]["key"].text_or(""), "nx/4");
}

TEST_F(ServeTest, NamesThatAreNoHashOfNxAreOpaqueBytes) {
  start();
  std::string hex(64, 'a');
  EXPECT_EQ(put("/v1/cache/" + hex, "body", both_).status, 200);
  EXPECT_EQ(put("/v1/cache/A.b_c-d", "body", both_).status, 200);
  EXPECT_EQ(put("/v1/cache/..", "body", both_).status, 403);
  EXPECT_EQ(put("/v1/cache/a%2e", "body", both_).status, 403);
  auto stored = daemon_.bodies("/v1/store");
  ASSERT_EQ(stored.size(), 2u);
  EXPECT_EQ(stored[0]["key"].text_or(""), "raw/" + hex);
  EXPECT_EQ(stored[1]["key"].text_or(""), "raw/A.b_c-d");
}

TEST_F(ServeTest, TheFrontPageNeedsNoTokenAndTellsNoSecret) {
  start();
  EXPECT_EQ(get("/health", "").body, "ok\n");
  auto page = get("/", "");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.body.find("hitfs_"), std::string::npos);
  EXPECT_EQ(get("/v1/status", "").status, 401);
}

TEST_F(ServeTest, ARevokedTokenIsUnknownAtTheNextRequest) {
  reader_.put({"", "nx", "1"}, "artifact");
  start();
  EXPECT_EQ(get("/v1/cache/1", both_).status, 200);
  ASSERT_TRUE(revoke_token(file_, "both"));
  EXPECT_EQ(get("/v1/cache/1", both_).status, 401);
  EXPECT_EQ(get("/v1/cache/1", reader_token_).status, 200);
  EXPECT_EQ(get("/v1/cache/1", add({.name = "new", .rights = {.read = true, .write = false}})).status, 200);
}

}  // namespace
}  // namespace hitfs
