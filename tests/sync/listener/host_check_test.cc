#include "sync/listener/host_check.h"

#include <gtest/gtest.h>

namespace hitfs {
namespace {

TEST(HostCheckTest, AllowsThisMachineAndWhatIsConfigured) {
  auto hosts = HostCheck::loopback_and({"cache.corp.example", "192.0.2.1:4711"});
  for (const char* host : {"127.0.0.1", "127.0.0.1:80", "localhost", "LOCALHOST:1", "[::1]", "[::1]:4711",
                           "cache.corp.example", "Cache.Corp.Example:443", "192.0.2.1", "192.0.2.1:80"}) {
    EXPECT_TRUE(hosts.allows(host)) << host;
  }
  for (const char* host : {"", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "127.0.0.1:80:80",
                           "127.0.0.1:x", "localhost:evil.example", "::1", "127.0.0.2", "0.0.0.0", "evil:127.0.0.1"}) {
    EXPECT_FALSE(hosts.allows(host)) << host;
  }
  EXPECT_TRUE(HostCheck::any().allows("evil.example"));
}

}  // namespace
}  // namespace hitfs
