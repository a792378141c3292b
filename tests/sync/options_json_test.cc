#include "sync/options_json.h"

#include <gtest/gtest.h>

namespace hitfs {
namespace {

TEST(OptionsJsonTest, EveryOptionOfTheDaemonTravels) {
  DaemonOptions options;
  options.store.root = "/store";
  options.limits = {.max_bytes = 5, .max_files = 6};
  RemoteOptions remote;
  remote.name = "team";
  remote.url = "file:///mnt/share";
  remote.mode = RemoteMode::write;
  remote.token = "s3cret";
  remote.ca_file = "/ca.pem";
  remote.verify_tls = false;
  remote.allow_insecure_token = true;
  remote.parallel_fetches = 3;
  remote.parallel_pushes = 2;
  options.remotes = {remote, RemoteOptions{}};
  options.patience = {Milliseconds(1), Milliseconds(2), Milliseconds(3), Milliseconds(4)};
  options.generation = 9;
  options.max_artifact_bytes = 10;
  options.max_unpacked_bytes = 11;
  options.continuous_integration = true;
  options.on_push_failed = "mail";
  auto json = to_json(options);
  auto again = daemon_options_from(Json::parse(json.dump()).value());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(to_json(*again), json);
  EXPECT_EQ(again->remotes[0].mode, RemoteMode::write);
  EXPECT_EQ(again->remotes[0].token, "s3cret");
  EXPECT_EQ(again->patience.session_budget, Milliseconds(4));
  EXPECT_TRUE(again->continuous_integration);
}

TEST(OptionsJsonTest, EveryOptionOfTheListenerTravels) {
  ListenerOptions options;
  options.store.root = "/store";
  options.kind = ListenerKind::serve;
  options.address = "127.0.0.1:4711";
  options.loopback_token = "t";
  options.tokens_file = "/tokens";
  options.tls_certificate_file = "/c";
  options.tls_key_file = "/k";
  options.allowed_hosts = {"a", "b"};
  options.max_artifact_bytes = 1;
  options.daemon_patience = Milliseconds(2);
  auto json = to_json(options);
  auto again = listener_options_from(Json::parse(json.dump()).value());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(to_json(*again), json);
  EXPECT_EQ(again->kind, ListenerKind::serve);
  EXPECT_EQ(again->allowed_hosts, options.allowed_hosts);
}

TEST(OptionsJsonTest, WhatIsMissingKeepsItsDefaultAndWhatIsWrongIsNamed) {
  EXPECT_EQ(to_json(daemon_options_from(Json(Json::Object{})).value()), to_json(DaemonOptions{}));
  std::pair<const char*, const char*> table[] = {
      {R"([])", "daemon"},
      {R"({"store": 5})", "daemon.store"},
      {R"({"remotes": [{"mode": "often"}]})", "often"},
      {R"({"limits": {"max_bytes": -1}})", "limits.max_bytes"},
      {R"({"continuous_integration": "yes"})", "daemon.continuous_integration"},
  };
  for (auto [text, expected] : table) {
    auto options = daemon_options_from(Json::parse(text).value());
    ASSERT_FALSE(options) << text;
    EXPECT_NE(options.error().message.find(expected), std::string::npos) << options.error().message;
  }
}

}  // namespace
}  // namespace hitfs
