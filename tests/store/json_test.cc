#include "store/base/json.h"

#include <gtest/gtest.h>

namespace hitfs {
namespace {

TEST(JsonTest, RoundTripsEveryKindOfValue) {
  auto json = Json::parse(R"({"a":[1,-2,2.5,true,null,"x\ny"],"b":{"c":"ü"}})");
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["a"].items().size(), 6u);
  EXPECT_EQ((*json)["a"].items()[1].integer_or(0), -2);
  EXPECT_DOUBLE_EQ((*json)["a"].items()[2].number_or(0), 2.5);
  EXPECT_EQ((*json)["b"]["c"].text_or(""), "ü");
  EXPECT_EQ(Json::parse(json->dump()).value(), *json);
}

TEST(JsonTest, AnythingButOneWholeTextIsRefused) {
  for (const char* text : {"", "{", "{} x", "{\"a\":}", "\x01", "'a'"}) {
    EXPECT_FALSE(Json::parse(text)) << text;
  }
  using namespace std::string_view_literals;
  auto cut = Json::parse("{}\n\0 what nobody would read"sv);
  ASSERT_FALSE(cut);
  EXPECT_NE(cut.error().message.find("line 2"), std::string::npos) << cut.error().message;
}

TEST(JsonTest, DeepNestingIsRefusedAndNotACrash) {
  std::string deep(100000, '[');
  EXPECT_FALSE(Json::parse(deep));
  std::string closed = std::string(200, '[') + std::string(200, ']');
  EXPECT_FALSE(Json::parse(closed));
}

TEST(JsonTest, ANumberThatNoDoubleHoldsIsRefusedAndNotAnException) {
  for (const char* text : {"1e999", "[-1e400]", "{\"wait_ms\":1e309}"}) {
    auto json = Json::parse(text);
    ASSERT_FALSE(json) << text;
    EXPECT_EQ(json.error().code, Code::invalid_argument) << text;
  }
  EXPECT_TRUE(Json::parse("1e308"));
}

TEST(JsonTest, AMissingMemberOrAnotherTypeGivesTheDefault) {
  Json json = Json::Object{{"text", "x"}};
  EXPECT_EQ(json["text"].integer_or(7), 7);
  EXPECT_EQ(std::as_const(json)["none"]["deeper"].text_or("no"), "no");
}

TEST(JsonTest, InvalidUtf8IsReplacedWhenWritten) { EXPECT_EQ(Json(std::string("a\xff")).dump(), "\"a\xef\xbf\xbd\""); }

}  // namespace
}  // namespace hitfs
