#include "sync/listener/token_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "store/base/io.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

constexpr TokenRights kBoth{.read = true, .write = true};

class TokenFileTest : public ::testing::Test {
 protected:
  void write(std::string_view text) { std::ofstream(file_) << text; }
  std::string text() { return io::read_file(file_, 1 << 20).value(); }

  testing::TempDir dir_;
  std::filesystem::path file_ = dir_ / "tokens.json";
};

TEST_F(TokenFileTest, ATokenIsShownOnceAndKeptAsItsHash) {
  auto token = add_token(file_, {.name = "ci", .rights = kBoth});
  ASSERT_TRUE(token) << token.error().message;
  EXPECT_TRUE(token->starts_with("hitfs_"));
  EXPECT_EQ(token->size(), 6u + 64u);
  EXPECT_EQ(text().find(token->substr(6)), std::string::npos);
  EXPECT_NE(text().find(Digest::of(io::as_bytes(*token)).hex()), std::string::npos);
  struct stat info {};
  ASSERT_EQ(::stat(file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  auto access = TokenAccess::open(file_).value();
  auto grant = access->grant(*token);
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->who, "ci");
  EXPECT_TRUE(grant->read && grant->write);
  EXPECT_EQ(grant->read_scopes, std::vector<std::string>{""});
  EXPECT_FALSE(access->grant(*token + "0"));
  EXPECT_FALSE(access->grant(""));
}

TEST_F(TokenFileTest, ListAndRevokeGoByName) {
  ASSERT_TRUE(add_token(file_, {.name = "a", .rights = {.read = true, .write = false}}));
  ASSERT_TRUE(add_token(file_, {.name = "b", .rights = kBoth, .read_scopes = {"main", ""}, .write_scope = "main"}));
  auto records = list_tokens(file_);
  ASSERT_TRUE(records);
  ASSERT_EQ(records->size(), 2u);
  EXPECT_FALSE((*records)[0].write);
  EXPECT_EQ((*records)[1].read_scopes, (std::vector<std::string>{"main", ""}));
  EXPECT_EQ((*records)[1].write_scope, "main");
  EXPECT_EQ((*records)[1].created.size(), 20u);
  ASSERT_TRUE(revoke_token(file_, "a"));
  EXPECT_EQ(list_tokens(file_)->size(), 1u);
  EXPECT_EQ(revoke_token(file_, "a").error().code, Code::not_found);
}

TEST_F(TokenFileTest, ANameIsGivenOnceAndPlain) {
  ASSERT_TRUE(add_token(file_, {.name = "a", .rights = kBoth}));
  auto again = add_token(file_, {.name = "a", .rights = kBoth});
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("revoke it first"), std::string::npos);
  EXPECT_FALSE(add_token(file_, {.name = "", .rights = kBoth}));
  EXPECT_FALSE(add_token(file_, {.name = "a b", .rights = kBoth}));
  EXPECT_FALSE(add_token(file_, {.name = "c", .rights = {}}));
}

TEST_F(TokenFileTest, ConcurrentAddsAreAllThere) {
  std::vector<std::jthread> adders;
  for (int i = 0; i < 8; ++i) {
    adders.emplace_back(
        [this, i] { EXPECT_TRUE(add_token(file_, {.name = "t" + std::to_string(i), .rights = kBoth})); });
  }
  adders.clear();
  EXPECT_EQ(list_tokens(file_)->size(), 8u);
}

TEST_F(TokenFileTest, RightsAreReadAndWrite) {
  EXPECT_TRUE(parse_rights("read,write")->write);
  EXPECT_TRUE(parse_rights("write")->write);
  EXPECT_FALSE(parse_rights("read")->write);
  for (const char* text : {"", "read,", "purge", "read write", "Read"}) {
    auto rights = parse_rights(text);
    ASSERT_FALSE(rights) << text;
    EXPECT_NE(rights.error().message.find("read,write"), std::string::npos);
  }
}

TEST_F(TokenFileTest, WhatIsWrongIsNamedWithItsPlaceAndRemedy) {
  std::pair<const char*, const char*> table[] = {
      {"{\n\n!}", "line 3"},
      {"[]", "hitfs token add"},
      {R"({"hitfs-tokens": 2, "tokens": []})", "newer hitfs"},
      {R"({"hitfs-tokens": 1, "tokens": [{"name": "x"}]})", "token 1 (x): sha256"},
      {R"({"hitfs-tokens": 1, "tokens": [{"sha256": "ab"}]})", "token 1 (no name): name"},
  };
  for (auto [content, expected] : table) {
    write(content);
    auto records = list_tokens(file_);
    ASSERT_FALSE(records) << content;
    EXPECT_NE(records.error().message.find(expected), std::string::npos) << records.error().message;
    EXPECT_NE(records.error().message.find(file_.string()), std::string::npos) << records.error().message;
    EXPECT_FALSE(TokenAccess::open(file_));
  }
  std::string hash(64, 'a');
  write(R"({"hitfs-tokens": 1, "tokens": [{"name": "x", "sha256": ")" + hash + R"(", "rights": ["own"]}]})");
  EXPECT_NE(list_tokens(file_).error().message.find("own"), std::string::npos);
  for (const char* scopes : {"[]", "\"main\"", "[5]"}) {
    write(R"({"hitfs-tokens": 1, "tokens": [{"name": "x", "rights": ["read"], "sha256": ")" + hash +
          R"(", "read_scopes": )" + scopes + "}]}");
    auto records = list_tokens(file_);
    ASSERT_FALSE(records) << scopes;
    EXPECT_NE(records.error().message.find("read_scopes"), std::string::npos) << records.error().message;
  }
}

TEST_F(TokenFileTest, AMissingFileSaysHowToMakeOne) {
  auto access = TokenAccess::open(file_);
  ASSERT_FALSE(access);
  EXPECT_NE(access.error().message.find("hitfs token add"), std::string::npos);
}

TEST_F(TokenFileTest, ASlipOfAnEditorLeavesTheLastGoodTokensInForce) {
  auto token = add_token(file_, {.name = "a", .rights = kBoth}).value();
  auto access = TokenAccess::open(file_).value();
  auto good = text();
  write("{ oops");
  EXPECT_TRUE(access->grant(token));
  write(R"({"hitfs-tokens": 1, "tokens": []})");
  EXPECT_FALSE(access->grant(token));
  write(good + "\n");
  EXPECT_TRUE(access->grant(token));
}

}  // namespace
}  // namespace hitfs
