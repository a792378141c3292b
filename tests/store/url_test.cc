#include "store/base/url.h"

#include <gtest/gtest.h>

namespace hitfs {
namespace {

TEST(UrlTest, TakesTheWholeApart) {
  auto url = Url::parse("Nx+HTTPS://bob:p%40ss@Cache.Example:8443/team/a?x=1");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->scheme, "nx+https");
  EXPECT_EQ(url->user, "bob");
  EXPECT_EQ(url->password, "p@ss");
  EXPECT_EQ(url->host, "cache.example");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->path, "/team/a");
  EXPECT_EQ(url->query, "x=1");
  EXPECT_EQ(url->text(), "nx+https://cache.example:8443/team/a?x=1");
}

TEST(UrlTest, KeepsAnIpv6AddressInItsBrackets) {
  auto url = Url::parse("http://[::1]:80");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->text(), "http://[::1]:80");
}

TEST(UrlTest, AFileUrlMayHaveNoHost) {
  auto url = Url::parse("file:///mnt/share");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->host, "");
  EXPECT_EQ(url->path, "/mnt/share");
}

TEST(UrlTest, RefusesWhatIsNoUrl) {
  for (const char* text :
       {"", "cache.example", "://x", "1a://x", "http://", "http:///x", "http://a b/", "http://a:0/", "http://a:70000/",
        "http://a:8x/", "http://a/#x", "http://a\\b/", "http://[::1/", "http://[nonsense]/", "http://a:80:90/",
        "http://a\nb/", "http://b\xc3\xbc.example/", "http://a%zz@b/", "http://[::1]x/"}) {
    auto url = Url::parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, Code::invalid_argument) << text;
  }
}

TEST(UrlTest, NoMessageShowsAPassword) {
  for (const char* text :
       {"http://bob:secret@a b/", "http://bob:sec/ret@host:0/", "http://secret@:1x/", "secret@host x"}) {
    auto url = Url::parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().message.find("sec"), std::string::npos) << url.error().message;
  }
}

TEST(UrlTest, RedactingTakesCredentialsAndQueryAway) {
  EXPECT_EQ(redact_url("https://bob:pw@host/a?sig=secret"), "https://host/a?...");
  EXPECT_EQ(redact_url("https://host:1/a"), "https://host:1/a");
  EXPECT_EQ(redact_url("https://a@b:c@host/"), "https://host/");
  EXPECT_EQ(redact_url("no url at all"), "no url at all");
}

TEST(UrlTest, AnOriginIsSchemeHostAndPort) {
  auto origin = [](const char* text) { return Url::parse(text).value(); };
  EXPECT_TRUE(origin("https://a/x").same_origin(origin("https://a:443/y")));
  EXPECT_FALSE(origin("https://a/").same_origin(origin("http://a/")));
  EXPECT_FALSE(origin("https://a/").same_origin(origin("https://a:444/")));
  EXPECT_FALSE(origin("https://a/").same_origin(origin("https://b/")));
}

TEST(UrlTest, LoopbackIsANumberOrLocalhostOnly) {
  auto loopback = [](const char* text) { return Url::parse(text).value().is_loopback(); };
  EXPECT_TRUE(loopback("http://127.0.0.1/"));
  EXPECT_TRUE(loopback("http://127.9.8.7:1/"));
  EXPECT_TRUE(loopback("http://[::1]/"));
  EXPECT_TRUE(loopback("http://LOCALHOST/"));
  EXPECT_FALSE(loopback("http://127.0.0.1.example/"));
  EXPECT_FALSE(loopback("http://128.0.0.1/"));
  EXPECT_FALSE(loopback("http://localhost.example/"));
  EXPECT_FALSE(loopback("http://[::2]/"));
}

}  // namespace
}  // namespace hitfs
