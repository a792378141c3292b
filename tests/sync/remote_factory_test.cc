#include "sync/remotes/remote_factory.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/fault_server.h"
#include "tests/support/memory_entry.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

Result<std::unique_ptr<Remote>> open(const std::string& url, const std::string& token = "",
                                     bool allow_insecure_token = false) {
  RemoteOptions options;
  options.name = "ours";
  options.url = url;
  options.token = token;
  options.allow_insecure_token = allow_insecure_token;
  return open_remote(options, Patience{}, RemoteEnvironment{});
}

std::string refusal(const std::string& url, const std::string& token = "") {
  auto remote = open(url, token);
  EXPECT_FALSE(remote) << url;
  if (remote) return "";
  EXPECT_EQ(remote.error().code, Code::invalid_argument) << url;
  EXPECT_NE(remote.error().message.find("ours"), std::string::npos) << remote.error().message;
  EXPECT_EQ(remote.error().message.find("s3cret"), std::string::npos) << remote.error().message;
  return remote.error().message;
}

bool says(const std::string& message, const std::string& part) { return message.find(part) != std::string::npos; }

TEST(RemoteFactoryTest, OpensWhatItKnows) {
  auto nx = open("nx+https://cache.example:8443/team/", "s3cret");
  ASSERT_TRUE(nx) << nx.error().message;
  EXPECT_EQ((*nx)->describe(), "nx+https://cache.example:8443/team");
  EXPECT_EQ((*nx)->own_space(), "nx");
  auto file = open("file:///mnt/shared%20drive/");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->own_space(), "");
  EXPECT_EQ((*file)->describe().find("file:///mnt/shared drive"), 0u);
}

TEST(RemoteFactoryTest, AnUnknownSchemeListsTheKnownOnes) {
  auto message = refusal("nxx://cache.example/");
  EXPECT_TRUE(says(message, "nx+https://") && says(message, "file://")) << message;
  for (const char* later : {"turbo+https", "bazel+https", "grpcs", "s3", "az", "gs"}) {
    EXPECT_TRUE(says(refusal(std::string(later) + "://cache.example/"), "not in this version")) << later;
  }
  EXPECT_TRUE(says(refusal("https://cache.example/"), "nx+https://"));
  EXPECT_TRUE(says(refusal("cache.example"), "scheme"));
}

TEST(RemoteFactoryTest, ATokenDoesNotTravelInClearTextUnlessAllowed) {
  EXPECT_TRUE(says(refusal("nx+http://cache.example/", "s3cret"), "allow_insecure_token"));
  EXPECT_TRUE(says(refusal("nx+http://user:s3cret@cache.example/"), "allow_insecure_token"));
  EXPECT_TRUE(says(refusal("nx+http://s3cret@192.168.0.7/"), "allow_insecure_token"));
  EXPECT_TRUE(says(refusal("nx+http://localhost.example/", "s3cret"), "allow_insecure_token"));
  EXPECT_TRUE(open("nx+http://cache.example/", "s3cret", true));
  EXPECT_TRUE(open("nx+http://cache.example/"));
  EXPECT_TRUE(open("nx+http://127.0.0.1:1/", "s3cret"));
  EXPECT_TRUE(open("nx+http://[::1]:1/", "s3cret"));
  EXPECT_TRUE(open("nx+http://localhost:1/", "s3cret"));
  EXPECT_TRUE(open("nx+https://cache.example/", "s3cret"));
}

TEST(RemoteFactoryTest, WhatCannotBeRightIsRefused) {
  EXPECT_TRUE(says(refusal("nx+https://s3cret@cache.example/", "s3cret"), "leave one of them out"));
  EXPECT_TRUE(says(refusal("nx+https://cache.example/", "s3cret\r\nX-Injected: 1"), "token"));
  EXPECT_TRUE(says(refusal("nx+https://cache.example/?sig=s3cret"), "query"));
  EXPECT_TRUE(says(refusal("file://server/share"), "file:///mnt/share"));
  EXPECT_TRUE(says(refusal("file:///"), "no folder"));
  EXPECT_TRUE(says(refusal("file:///mnt/share", "s3cret"), "no token"));
  RemoteOptions options;
  options.name = "ours";
  options.url = "nx+https://cache.example/";
  options.ca_file = "/nowhere/ca.pem";
  auto remote = open_remote(options, Patience{}, RemoteEnvironment{});
  ASSERT_FALSE(remote);
  EXPECT_TRUE(says(remote.error().message, "/nowhere/ca.pem")) << remote.error().message;
}

TEST(RemoteFactoryTest, CredentialsInTheUrlAreSentAndNeverShown) {
  testing::FaultServer server(testing::faults::status(404));
  struct Case {
    std::string userinfo, header;
  };
  for (const auto& [userinfo, header] :
       {Case{"bob:s3cret@", "Basic Ym9iOnMzY3JldA=="}, Case{"s3cret@", "Bearer s3cret"}}) {
    auto remote = open("nx+http://" + userinfo + server.authority());
    ASSERT_TRUE(remote) << remote.error().message;
    EXPECT_EQ((*remote)->describe(), "nx+http://" + server.authority());
    testing::MemoryWriter writer;
    RemoteCall call;
    auto fetched = (*remote)->fetch(testing::remote_key(**remote, "1"), writer, call);
    ASSERT_FALSE(fetched);
    EXPECT_FALSE(says(fetched.error().message, "s3cret"));
    EXPECT_EQ(server.seen().back().header("authorization"), header);
  }
}

TEST(RemoteFactoryTest, ReadsTheEnvironmentAsNodeDoes) {
  ::setenv("NODE_EXTRA_CA_CERTS", "/some/ca.pem", 1);
  ::setenv("NODE_TLS_REJECT_UNAUTHORIZED", "0", 1);
  ::setenv("HTTP_PROXY", "http://127.0.0.1:3128", 1);
  auto environment = RemoteEnvironment::of_process();
  EXPECT_EQ(environment.extra_ca_file, "/some/ca.pem");
  EXPECT_FALSE(environment.verify_tls);
  EXPECT_EQ(environment.http_proxy, "http://127.0.0.1:3128");
  for (const char* name : {"NODE_EXTRA_CA_CERTS", "NODE_TLS_REJECT_UNAUTHORIZED", "HTTP_PROXY"}) ::unsetenv(name);
  environment = RemoteEnvironment::of_process();
  EXPECT_EQ(environment.extra_ca_file, "");
  EXPECT_TRUE(environment.verify_tls);
}

TEST(RemoteFactoryTest, TheGuardedOneIsGuarded) {
  RemoteOptions options;
  options.url = "nx+http://127.0.0.1:" + std::to_string(testing::closed_port());
  GuardedRemote::Options guard;
  guard.breaker = {.first_pause = std::chrono::hours(1), .most_pause = std::chrono::hours(1)};
  auto remote = open_guarded_remote(options, guard, RemoteEnvironment{});
  ASSERT_TRUE(remote) << remote.error().message;
  testing::MemoryWriter writer;
  RemoteCall call;
  EXPECT_FALSE((*remote)->fetch(testing::remote_key(**remote, "1"), writer, call));
  EXPECT_EQ((*remote)->breaker().status().state, BreakerState::open);
}

}  // namespace
}  // namespace hitfs
