#include "sync/remotes/nx_remote.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "store/base/io.h"
#include "sync/remotes/tls_roots.h"
#include "tests/support/fault_server.h"
#include "tests/support/memory_entry.h"
#include "tests/support/memory_nx_server.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

using testing::Connection;
using testing::FaultServer;
using testing::MemoryEntry;
using testing::MemoryWriter;
using testing::SocketServer;
namespace faults = testing::faults;

class NxRemoteTest : public ::testing::Test {
 protected:
  static NxRemoteOptions options_for(const std::string& url) {
    NxRemoteOptions options;
    options.url = Url::parse(url).value();
    options.authorization = "Bearer secret";
    return options;
  }
  static NxRemoteOptions options_for(const SocketServer& server) { return options_for("http://" + server.authority()); }

  Result<StoreResult> store(NxRemote& remote, const std::string& bytes = "x") {
    MemoryEntry entry(bytes);
    RemoteCall one;
    return remote.store(key, entry, one);
  }
  Status fetch(NxRemote& remote) {
    RemoteCall one;
    return remote.fetch(key, writer, one);
  }

  RemoteKey key = RemoteKey::of(Key{"", "nx", "16753371117218787125"}, 0, "nx");
  RemoteCall call;
  MemoryWriter writer;
};

TEST_F(NxRemoteTest, AsksAsTheProtocolSays) {
  FaultServer server(faults::status(404));
  NxRemote remote(options_for("http://" + server.authority() + "/team/a/"));
  EXPECT_FALSE(fetch(remote));
  EXPECT_FALSE(store(remote, std::string(100, 'x')));
  auto seen = server.seen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].method, "GET");
  EXPECT_EQ(seen[0].target, "/team/a/v1/cache/16753371117218787125");
  EXPECT_EQ(seen[0].header("host"), server.authority());
  EXPECT_EQ(seen[0].header("authorization"), "Bearer secret");
  EXPECT_EQ(seen[0].header("accept"), "application/octet-stream");
  EXPECT_EQ(seen[0].header("accept-encoding"), "");
  EXPECT_EQ(seen[1].method, "PUT");
  EXPECT_EQ(seen[1].header("content-length"), "100");
  EXPECT_EQ(seen[1].header("content-type"), "application/octet-stream");
  EXPECT_EQ(seen[1].header("transfer-encoding"), "");
}

TEST_F(NxRemoteTest, OneConnectionServesManyCalls) {
  testing::MemoryNxServer server("secret");
  NxRemote remote(options_for(server.server()));
  ASSERT_TRUE(store(remote));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(fetch(remote));
  EXPECT_EQ(server.server().accepted(), 1u);
}

TEST_F(NxRemoteTest, AnUnwantedBodyIsNotDownloaded) {
  testing::MemoryNxServer server("secret");
  NxRemote remote(options_for(server.server()));
  ASSERT_TRUE(store(remote, std::string(16 << 20, 'x')));
  auto there = remote.contains(key, call);
  ASSERT_TRUE(there) << there.error().message;
  EXPECT_TRUE(*there);
  EXPECT_LT(call.times.bytes, 1u << 20);
}

TEST_F(NxRemoteTest, NamesOfAnyByteArriveEncoded) {
  FaultServer server(faults::status(404));
  NxRemote remote(options_for(server));
  key = RemoteKey::of(Key{"", "nx", "a b?c#d%\xff"}, 0, "nx");
  EXPECT_FALSE(fetch(remote));
  EXPECT_EQ(server.seen().at(0).target, "/v1/cache/a%20b%3Fc%23d%25%FF");
}

TEST_F(NxRemoteTest, EachStatusOfAFetchHasItsMeaning) {
  struct Case {
    int status;
    Code code;
  };
  for (auto [status, code] :
       {Case{404, Code::not_found}, Case{401, Code::permission_denied}, Case{403, Code::permission_denied},
        Case{407, Code::permission_denied}, Case{400, Code::invalid_argument}, Case{405, Code::invalid_argument},
        Case{410, Code::invalid_argument}, Case{201, Code::invalid_argument}, Case{204, Code::invalid_argument},
        Case{206, Code::invalid_argument}, Case{304, Code::invalid_argument}, Case{429, Code::unavailable},
        Case{500, Code::unavailable}, Case{503, Code::unavailable}}) {
    FaultServer server(faults::status(status));
    NxRemote remote(options_for(server));
    auto fetched = fetch(remote);
    ASSERT_FALSE(fetched) << status;
    EXPECT_EQ(fetched.error().code, code) << fetched.error().message;
    EXPECT_EQ(writer.started, 0) << status;
  }
}

TEST_F(NxRemoteTest, EachStatusOfAStoreHasItsMeaning) {
  struct Case {
    int status;
    std::optional<StoreResult> result;
    Code code;
  };
  for (auto [status, result, code] :
       {Case{200, StoreResult::stored, {}}, Case{201, StoreResult::stored, {}}, Case{202, StoreResult::stored, {}},
        Case{204, StoreResult::stored, {}}, Case{409, StoreResult::already_there, {}},
        Case{412, StoreResult::already_there, {}}, Case{401, std::nullopt, Code::permission_denied},
        Case{403, std::nullopt, Code::permission_denied}, Case{413, std::nullopt, Code::no_space},
        Case{507, std::nullopt, Code::no_space}, Case{400, std::nullopt, Code::invalid_argument},
        Case{404, std::nullopt, Code::invalid_argument}, Case{429, std::nullopt, Code::unavailable},
        Case{500, std::nullopt, Code::unavailable}, Case{503, std::nullopt, Code::unavailable}}) {
    FaultServer server(faults::status(status));
    NxRemote remote(options_for(server));
    auto stored = store(remote);
    ASSERT_EQ(stored.has_value(), result.has_value()) << status;
    if (stored) {
      EXPECT_EQ(*stored, *result) << status;
    } else {
      EXPECT_EQ(stored.error().code, code) << stored.error().message;
    }
  }
}

TEST_F(NxRemoteTest, PassesOnHowLongTheServerWantsToBeLeftAlone) {
  for (int status : {429, 503}) {
    FaultServer server(faults::status(status, "Retry-After: 7\r\n"));
    NxRemote remote(options_for(server));
    RemoteCall paced;
    EXPECT_FALSE(remote.fetch(key, writer, paced));
    EXPECT_EQ(paced.trouble, Trouble::paced);
    ASSERT_TRUE(paced.retry_after);
    EXPECT_EQ(*paced.retry_after, std::chrono::seconds(7));
  }
  FaultServer mute(faults::status(429));
  NxRemote remote(options_for(mute));
  EXPECT_FALSE(remote.fetch(key, writer, call));
  ASSERT_TRUE(call.retry_after);
  EXPECT_GT(*call.retry_after, Milliseconds(0));
}

TEST_F(NxRemoteTest, APageIsNoEntry) {
  FaultServer server(faults::status(200, "Content-Type: text/html; charset=utf-8\r\n"));
  NxRemote remote(options_for(server));
  auto fetched = fetch(remote);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::corrupt);
  EXPECT_EQ(writer.started, 0);
}

TEST_F(NxRemoteTest, ARecodedBodyIsRefusedUnlessItsFormatChecksItself) {
  FaultServer server(faults::status(200, "Content-Encoding: gzip\r\n"));
  NxRemote remote(options_for(server));
  EXPECT_TRUE(fetch(remote));
  EXPECT_EQ(writer.bytes, "words about it") << "passed on as it came";
  key = RemoteKey::of(Key{"", "flat", "1"}, 0, "nx");
  auto fetched = fetch(remote);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::corrupt);
}

TEST_F(NxRemoteTest, ChunksWithoutALengthAreFine) {
  FaultServer server(
      faults::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
  NxRemote remote(options_for(server));
  auto fetched = fetch(remote);
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(writer.bytes, "abcde");
  EXPECT_EQ(writer.announced, std::nullopt);
}

TEST_F(NxRemoteTest, OnlySomeServersCanRemove) {
  for (int status : {404, 405, 501}) {
    FaultServer server(faults::status(status));
    NxRemote remote(options_for(server));
    RemoteCall one;
    auto removed = remote.remove(key, one);
    ASSERT_FALSE(removed) << status;
    EXPECT_EQ(removed.error().code, Code::invalid_argument) << status;
  }
  FaultServer server(faults::status(403));
  NxRemote remote(options_for(server));
  auto removed = remote.remove(key, call);
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, Code::permission_denied);
}

// --- redirects ---

SocketServer::Script redirect(int status, const std::string& location) {
  return faults::status(status, "Location: " + location + "\r\n");
}

TEST_F(NxRemoteTest, ARedirectOnTheSameServerKeepsTheToken) {
  SocketServer server([](Connection& peer) {
    while (auto request = peer.read_head()) {
      bool moved = request->target == "/moved";
      peer.answer(moved ? 200 : 302, moved ? "entry" : "", moved ? "" : "Location: /moved\r\n");
    }
  });
  NxRemote remote(options_for(server));
  auto fetched = fetch(remote);
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(writer.bytes, "entry");
  EXPECT_EQ(server.seen().at(1).header("authorization"), "Bearer secret");
}

TEST_F(NxRemoteTest, ARedirectElsewhereTakesNoTokenAndNoHeaderOfOurs) {
  FaultServer elsewhere(faults::status(200));
  for (int status : {301, 302, 303, 307, 308}) {
    FaultServer server(redirect(status, "http://" + elsewhere.authority() + "/entry?sig=1"));
    NxRemote remote(options_for(server));
    auto fetched = fetch(remote);
    ASSERT_TRUE(fetched) << fetched.error().message;
    EXPECT_EQ(writer.bytes, "words about it");
    EXPECT_EQ(server.seen().at(0).header("authorization"), "Bearer secret");
  }
  for (const auto& request : elsewhere.seen()) {
    EXPECT_EQ(request.target, "/entry?sig=1");
    EXPECT_EQ(request.header("authorization"), "");
    EXPECT_EQ(request.header("content-type"), "");
  }
  EXPECT_EQ(elsewhere.seen().size(), 5u);
}

TEST_F(NxRemoteTest, CredentialsInARedirectAreNotUsed) {
  FaultServer elsewhere(faults::status(200));
  FaultServer server(redirect(302, "http://user:pass@" + elsewhere.authority() + "/entry"));
  NxRemote remote(options_for(server));
  EXPECT_TRUE(fetch(remote));
  EXPECT_EQ(elsewhere.seen().at(0).header("authorization"), "");
}

TEST_F(NxRemoteTest, AnUploadFollowsOnlyARedirectThatKeepsTheMethod) {
  testing::MemoryNxServer elsewhere;
  for (int status : {307, 308}) {
    FaultServer server(
        redirect(status, "http://" + elsewhere.server().authority() + "/v1/cache/" + std::to_string(status)));
    NxRemote remote(options_for(server));
    auto stored = store(remote, std::string(100'000, 'x'));
    ASSERT_TRUE(stored) << stored.error().message;
    EXPECT_EQ(*stored, StoreResult::stored);
  }
  EXPECT_EQ(elsewhere.size(), 2u);
  EXPECT_EQ(elsewhere.server().seen().at(0).header("authorization"), "");
  FaultServer server(redirect(302, "http://" + elsewhere.server().authority() + "/v1/cache/302"));
  NxRemote remote(options_for(server));
  auto stored = store(remote);
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code, Code::invalid_argument) << stored.error().message;
  EXPECT_EQ(elsewhere.size(), 2u);
}

TEST_F(NxRemoteTest, RedirectsThatLeadNowhereEnd) {
  FaultServer circle(redirect(302, "/again"));
  NxRemote remote(options_for(circle));
  auto fetched = fetch(remote);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::unavailable);
  EXPECT_EQ(circle.seen().size(), 6u);
  for (const char* location : {"file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:1/"}) {
    FaultServer server(redirect(302, location));
    NxRemote to_it(options_for(server));
    auto refused = fetch(to_it);
    ASSERT_FALSE(refused) << location;
    EXPECT_EQ(refused.error().code, Code::invalid_argument) << refused.error().message;
  }
}

// --- proxies ---

// Sets a variable of the environment for the length of a test.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~ScopedVariable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

TEST_F(NxRemoteTest, AProxyIsAskedForAnotherMachineOnly) {
  FaultServer proxy(faults::status(200));
  ScopedVariable variable("http_proxy", "http://" + proxy.authority());
  auto far = options_for("http://cache.invalid/");
  far.authorization.clear();
  NxRemote remote(far);
  auto fetched = fetch(remote);
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(proxy.seen().at(0).target, "http://cache.invalid/v1/cache/16753371117218787125");
  testing::MemoryNxServer server("secret");
  NxRemote near(options_for(server.server()));
  EXPECT_TRUE(store(near));
  EXPECT_EQ(proxy.seen().size(), 1u) << "a token for loopback went to the proxy";
}

TEST_F(NxRemoteTest, AProxyOfTheOptionsIsUsed) {
  FaultServer proxy(faults::status(200));
  auto far = options_for("http://cache.invalid/");
  far.authorization.clear();
  far.http.http_proxy = "http://" + proxy.authority();
  NxRemote remote(far);
  EXPECT_TRUE(fetch(remote));
  EXPECT_EQ(proxy.seen().size(), 1u);
}

TEST_F(NxRemoteTest, ATokenThroughATunnelIsNotShownToTheProxy) {
  FaultServer proxy(faults::status(403));
  ScopedVariable variable("https_proxy", "http://" + proxy.authority());
  NxRemote remote(options_for("https://cache.invalid/"));
  EXPECT_FALSE(remote.fetch(key, writer, call));
  ASSERT_EQ(proxy.seen().size(), 1u);
  EXPECT_EQ(proxy.seen().at(0).method, "CONNECT");
  EXPECT_EQ(proxy.seen().at(0).header("authorization"), "");
  EXPECT_EQ(call.trouble, Trouble::connect);
}

// --- TLS ---

class NxRemoteTlsTest : public NxRemoteTest {
 protected:
  NxRemoteOptions options() { return options_for("https://" + server.server().authority()); }

  testing::TempDir folder;
  testing::MemoryNxServer server = make();

 private:
  testing::MemoryNxServer make();
};

testing::MemoryNxServer NxRemoteTlsTest::make() {
  testing::write_self_signed_certificate(folder.path());
  return testing::MemoryNxServer("secret", "", folder / "cert.pem", folder / "key.pem");
}

TEST_F(NxRemoteTlsTest, AnUnknownCertificateIsRefusedWithTheRemedy) {
  NxRemote remote(options());
  auto fetched = remote.fetch(key, writer, call);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::unavailable);
  EXPECT_EQ(call.trouble, Trouble::connect);
  EXPECT_NE(fetched.error().message.find("ca_file"), std::string::npos) << fetched.error().message;
  EXPECT_TRUE(server.server().seen().empty()) << "the token was sent all the same";
}

TEST_F(NxRemoteTlsTest, FurtherRootsJoinTheSystemsOwn) {
  auto roots = joined_roots(folder / "cert.pem", "");
  ASSERT_TRUE(roots) << roots.error().message;
  auto own = io::read_file(folder / "cert.pem", 1 << 20).value();
  EXPECT_NE(roots->find(own), std::string::npos);
  auto system = io::read_file("/etc/ssl/certs/ca-certificates.crt", 16 << 20);
  EXPECT_GT(roots->size(), system ? system->size() : 0);
  auto with_roots = options();
  with_roots.http.root_certificates = *roots;
  NxRemote remote(with_roots);
  auto stored = store(remote);
  ASSERT_TRUE(stored) << stored.error().message;
  auto by_node = joined_roots("", folder / "cert.pem");
  ASSERT_TRUE(by_node);
  EXPECT_EQ(*by_node, *roots);
}

TEST_F(NxRemoteTlsTest, CheckingCanBeSwitchedOff) {
  auto unchecked = options();
  unchecked.http.verify_tls = false;
  NxRemote remote(unchecked);
  EXPECT_TRUE(store(remote));
}

TEST_F(NxRemoteTlsTest, ARedirectFromTlsToClearTextIsRefused) {
  FaultServer clear(faults::status(200));
  SocketServer secure(redirect(302, "http://" + clear.authority() + "/entry"), folder / "cert.pem", folder / "key.pem");
  auto to_it = options_for("https://" + secure.authority());
  to_it.http.verify_tls = false;
  NxRemote remote(to_it);
  auto fetched = fetch(remote);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::invalid_argument) << fetched.error().message;
  EXPECT_EQ(clear.accepted(), 0u);
}

TEST(TlsRootsTest, AFileWithoutCertificatesIsNamed) {
  testing::TempDir folder;
  ASSERT_TRUE(io::replace_file(folder / "not.pem", io::as_bytes("nothing here"), "test"));
  for (const auto& file : {folder / "not.pem", folder / "missing.pem"}) {
    auto roots = joined_roots(file, "");
    ASSERT_FALSE(roots);
    EXPECT_EQ(roots.error().code, Code::invalid_argument);
    EXPECT_NE(roots.error().message.find(file.string()), std::string::npos);
    auto optional = joined_roots("", file);
    ASSERT_TRUE(optional) << "Node only warns";
    EXPECT_EQ(*optional, "");
  }
}

}  // namespace
}  // namespace hitfs
