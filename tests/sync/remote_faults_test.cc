#include <gtest/gtest.h>

#include "sync/remotes/guarded_remote.h"
#include "sync/remotes/nx_remote.h"
#include "tests/support/fault_server.h"
#include "tests/support/memory_entry.h"

// What a failing server does to a fetch and to a store: which error, how long, and what the writer got.
namespace hitfs {
namespace {

using testing::FaultServer;
using testing::MemoryEntry;
using testing::MemoryWriter;
namespace faults = testing::faults;

// Far more than any of these calls takes: beyond it something hangs.
constexpr auto kHang = std::chrono::seconds(30);

NxRemoteOptions options_for(const std::string& authority, Patience patience) {
  NxRemoteOptions options;
  options.url = Url::parse("http://" + authority + "/p").value();
  options.authorization = "Bearer secret";
  options.http.patience = patience;
  return options;
}

class RemoteFaultsTest : public ::testing::Test {
 protected:
  // One fetch, and how it ended.
  Error fetch_error(const std::string& authority) {
    NxRemote remote(options_for(authority, patience));
    auto start = std::chrono::steady_clock::now();
    auto fetched = remote.fetch(key, writer, call);
    EXPECT_LT(std::chrono::steady_clock::now() - start, kHang);
    EXPECT_FALSE(fetched);
    if (fetched) return Error{Code::internal, "it succeeded"};
    EXPECT_EQ(fetched.error().message.find("secret"), std::string::npos) << fetched.error().message;
    EXPECT_NE(fetched.error().message.find("/p/v1/cache/1"), std::string::npos) << fetched.error().message;
    return fetched.error();
  }
  Error store_error(const std::string& authority, size_t bytes) {
    NxRemote remote(options_for(authority, patience));
    MemoryEntry entry(std::string(bytes, 'x'));
    auto start = std::chrono::steady_clock::now();
    auto stored = remote.store(key, entry, call);
    EXPECT_LT(std::chrono::steady_clock::now() - start, kHang);
    EXPECT_FALSE(stored);
    if (stored) return Error{Code::internal, "it succeeded"};
    EXPECT_EQ(stored.error().message.find("secret"), std::string::npos) << stored.error().message;
    return stored.error();
  }

  // Long, for a busy machine; a test of a limit makes that one short.
  Patience patience{.connect = Milliseconds(5'000), .first_byte = Milliseconds(5'000), .stall = Milliseconds(5'000)};
  static constexpr Milliseconds kShort{100};
  RemoteKey key = RemoteKey::of(Key{"", "nx", "1"}, 0, "nx");
  RemoteCall call;
  MemoryWriter writer;
};

TEST_F(RemoteFaultsTest, ARefusedConnectionCostsNoTime) {
  patience = Patience{};
  auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(fetch_error("127.0.0.1:" + std::to_string(testing::closed_port())).code, Code::unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - start, Patience{}.connect) << "it waited for its limit";
  EXPECT_EQ(call.trouble, Trouble::connect);
  EXPECT_EQ(writer.started, 0);
}

TEST_F(RemoteFaultsTest, AHostThatDoesNotExistIsAConnectFailure) {
  EXPECT_EQ(fetch_error("cache.invalid").code, Code::unavailable);
  EXPECT_EQ(call.trouble, Trouble::connect);
}

TEST_F(RemoteFaultsTest, ASilentServerCostsTheFirstByteLimit) {
  patience.first_byte = kShort;
  FaultServer server(faults::silent());
  EXPECT_EQ(fetch_error(server.authority()).code, Code::unavailable);
  EXPECT_EQ(call.trouble, Trouble::silent);
  EXPECT_GE(call.times.first_byte, patience.first_byte);
  EXPECT_EQ(writer.started, 0);
}

TEST_F(RemoteFaultsTest, AHeadThatTricklesIsNoAnswer) {
  patience.first_byte = kShort;
  FaultServer server(faults::slow_head(Milliseconds(5)));
  EXPECT_EQ(fetch_error(server.authority()).code, Code::unavailable);
  EXPECT_EQ(call.trouble, Trouble::silent);
}

TEST_F(RemoteFaultsTest, AServerThatNeverFinishesItsTlsHandshakeIsAConnectFailure) {
  FaultServer server(faults::silent());
  patience.connect = Milliseconds(100);
  auto options = options_for(server.authority(), patience);
  options.url.scheme = "https";
  NxRemote remote(options);
  ASSERT_FALSE(remote.fetch(key, writer, call));
  EXPECT_EQ(call.trouble, Trouble::connect);
}

TEST_F(RemoteFaultsTest, StatusesOfABrokenServerAreUnavailable) {
  for (int status : {500, 502, 504, 408}) {
    FaultServer server(faults::status(status));
    RemoteCall call_to_it;
    NxRemote remote(options_for(server.authority(), patience));
    auto fetched = remote.fetch(key, writer, call_to_it);
    ASSERT_FALSE(fetched) << status;
    EXPECT_EQ(fetched.error().code, Code::unavailable) << status;
    EXPECT_EQ(call_to_it.trouble, Trouble::none) << status << ": it did answer";
    EXPECT_EQ(writer.started, 0);
  }
}

TEST_F(RemoteFaultsTest, WhatIsNoHttpIsUnavailable) {
  for (const std::string bytes :
       {"", "garbage\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 abc\r\n\r\n", "\0\0\0\0\0"}) {
    FaultServer server(faults::raw(bytes));
    RemoteCall call_to_it;
    NxRemote remote(options_for(server.authority(), patience));
    auto fetched = remote.fetch(key, writer, call_to_it);
    ASSERT_FALSE(fetched) << bytes;
    EXPECT_EQ(fetched.error().code, Code::unavailable) << fetched.error().message;
    EXPECT_EQ(call_to_it.trouble, Trouble::broken) << bytes;
    EXPECT_EQ(writer.started, 0);
  }
}

TEST_F(RemoteFaultsTest, ACutBodyIsNeverASuccess) {
  constexpr size_t kBytes = 200'000;
  for (auto ending : {faults::Ending::close, faults::Ending::reset}) {
    for (size_t percent : {0, 1, 50, 99}) {
      FaultServer server(faults::body(kBytes, kBytes * percent / 100, ending));
      RemoteCall call_to_it;
      NxRemote remote(options_for(server.authority(), patience));
      auto fetched = remote.fetch(key, writer, call_to_it);
      ASSERT_FALSE(fetched) << percent;
      EXPECT_EQ(fetched.error().code, Code::unavailable);
      EXPECT_EQ(call_to_it.trouble, Trouble::broken);
      EXPECT_LT(writer.bytes.size(), kBytes);
    }
  }
}

TEST_F(RemoteFaultsTest, ChunksWithoutTheirEndAreACutBody) {
  for (const std::string body : {"3\r\nabc\r\n", "5\r\nabc", "zz\r\nabc\r\n0\r\n\r\n"}) {
    FaultServer server(faults::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body));
    RemoteCall call_to_it;
    NxRemote remote(options_for(server.authority(), patience));
    auto fetched = remote.fetch(key, writer, call_to_it);
    ASSERT_FALSE(fetched) << body;
    EXPECT_EQ(fetched.error().code, Code::unavailable);
  }
}

TEST_F(RemoteFaultsTest, ABodyThatOnlyEndsWithTheConnectionIsRefused) {
  FaultServer server(faults::raw("HTTP/1.1 200 OK\r\n\r\nperhaps all, perhaps not"));
  EXPECT_EQ(fetch_error(server.authority()).code, Code::corrupt);
  EXPECT_EQ(writer.started, 0);
}

TEST_F(RemoteFaultsTest, ALengthThatCanBeReadInTwoWaysIsRefused) {
  for (const std::string headers :
       {"Content-Length: 3\r\nContent-Length: 5", "Content-Length: 3, 5", "Content-Length: -3", "Content-Length: 0x5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked"}) {
    FaultServer server(faults::raw("HTTP/1.1 200 OK\r\n" + headers + "\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"));
    RemoteCall call_to_it;
    NxRemote remote(options_for(server.authority(), patience));
    auto fetched = remote.fetch(key, writer, call_to_it);
    ASSERT_FALSE(fetched) << headers;
    EXPECT_TRUE(fetched.error().code == Code::corrupt || fetched.error().code == Code::unavailable) << headers;
    EXPECT_EQ(writer.started, 0) << headers;
  }
}

TEST_F(RemoteFaultsTest, BytesBeyondTheLengthAreNeitherPartOfTheEntryNorTheNextAnswer) {
  Guarded<bool> excess_sent(false);
  std::atomic<int> connections{0};
  FaultServer server([&](testing::Connection& peer) {
    bool first = connections++ == 0;
    if (!peer.read_head()) return;
    peer.answer(200, first ? "entry" : "fresh");
    if (first) peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfalse");
    *excess_sent.lock() = true;
    excess_sent.notify_all();
    peer.wait_closed();
  });
  NxRemote remote(options_for(server.authority(), patience));
  auto fetched = remote.fetch(key, writer, call);
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(writer.bytes, "entry");
  excess_sent.lock().wait(std::stop_token(), [](bool sent) { return sent; });
  MemoryWriter next;
  RemoteCall second;
  auto again = remote.fetch(key, next, second);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(next.bytes, "fresh");
}

TEST_F(RemoteFaultsTest, ABodyLongerThanTheLimitIsCutWhetherAnnouncedOrNot) {
  auto ask = [&](const FaultServer& server) {
    auto options = options_for(server.authority(), patience);
    options.http.max_body = 100'000;
    NxRemote remote(options);
    RemoteCall call_to_it;
    auto fetched = remote.fetch(key, writer, call_to_it);
    ASSERT_FALSE(fetched);
    EXPECT_EQ(fetched.error().code, Code::corrupt) << fetched.error().message;
    EXPECT_LE(writer.bytes.size(), 100'000u);
  };
  FaultServer announced(faults::body(10ull << 30, 1000, faults::Ending::silence));
  ask(announced);
  EXPECT_EQ(writer.started, 0);
  FaultServer endless(faults::endless_chunks());
  ask(endless);
  EXPECT_EQ(writer.started, 1);
}

TEST_F(RemoteFaultsTest, AnEndlessHeadIsGivenUp) {
  FaultServer server(faults::endless_head());
  patience.first_byte = kHang;
  auto error = fetch_error(server.authority());
  EXPECT_TRUE(error.code == Code::corrupt || error.code == Code::unavailable) << error.message;
  EXPECT_LT(call.times.first_byte, kHang);
}

TEST_F(RemoteFaultsTest, ABodyThatStopsCostsTheStallLimit) {
  patience.stall = kShort;
  FaultServer server(faults::body(200'000, 1000, faults::Ending::silence));
  EXPECT_EQ(fetch_error(server.authority()).code, Code::unavailable);
  EXPECT_EQ(call.trouble, Trouble::stalled);
  EXPECT_GE(call.times.stalled, patience.stall);
  EXPECT_EQ(writer.bytes.size(), 1000u);
}

TEST_F(RemoteFaultsTest, ABodyThatKeepsComingIsWaitedFor) {
  patience.stall = Milliseconds(500);
  FaultServer server(faults::slow_body("abcdefghijklmnop", Milliseconds(40)));
  NxRemote remote(options_for(server.authority(), patience));
  auto fetched = remote.fetch(key, writer, call);
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(writer.bytes, "abcdefghijklmnop");
  EXPECT_GT(call.times.transfer + call.times.stalled, patience.stall) << "longer in all than any one pause may be";
}

TEST_F(RemoteFaultsTest, TheDeadlineCutsABodyThatKeepsComing) {
  FaultServer server(faults::slow_body(std::string(100'000, 'x'), Milliseconds(5)));
  NxRemote remote(options_for(server.authority(), patience));
  RemoteCall short_call(Deadline::after(Milliseconds(150)));
  auto fetched = remote.fetch(key, writer, short_call);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::unavailable);
  EXPECT_EQ(short_call.trouble, Trouble::cancelled);
}

TEST_F(RemoteFaultsTest, AStopEndsAWaitingCallAtOnce) {
  std::stop_source stop;
  FaultServer server([&](testing::Connection& peer) {
    peer.read_head();
    stop.request_stop();
    peer.wait_closed();
  });
  patience.first_byte = std::chrono::hours(1);
  NxRemote remote(options_for(server.authority(), patience));
  RemoteCall stoppable(Deadline::never(), stop.get_token());
  auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(remote.fetch(key, writer, stoppable));
  EXPECT_LT(std::chrono::steady_clock::now() - start, kHang);
  EXPECT_EQ(stoppable.trouble, Trouble::cancelled);
}

TEST_F(RemoteFaultsTest, AnUploadThatNobodyReadsStalls) {
  patience.stall = kShort;
  FaultServer server(faults::stops_reading_after(1000));
  EXPECT_EQ(store_error(server.authority(), 32 << 20).code, Code::unavailable);
  EXPECT_EQ(call.trouble, Trouble::stalled);
}

TEST_F(RemoteFaultsTest, AnUploadThatIsResetMayBeTriedAgain) {
  FaultServer server(faults::resets_after(1000));
  EXPECT_EQ(store_error(server.authority(), 8 << 20).code, Code::unavailable);
  EXPECT_EQ(call.trouble, Trouble::broken);
}

TEST_F(RemoteFaultsTest, AnUploadIsNotSentWhenTheServerRefusesItBeforehand) {
  FaultServer server(faults::early_answer(413));
  EXPECT_EQ(store_error(server.authority(), 8 << 20).code, Code::no_space);
  EXPECT_LT(call.times.bytes, 8u << 20);
}

TEST_F(RemoteFaultsTest, AnUploadWaitsSixTimesLongerForItsAnswer) {
  patience.first_byte = 2 * kShort;
  // Answers the upload after half as long again as the limit of a first byte.
  FaultServer server([](testing::Connection& peer) {
    while (auto request = peer.read_head()) {
      peer.read_body(*request);
      if (peer.wait_closed_for(Milliseconds(300)) || !peer.answer(200)) return;
    }
  });
  NxRemote remote(options_for(server.authority(), patience));
  MemoryEntry entry("x");
  auto stored = remote.store(key, entry, call);
  ASSERT_TRUE(stored) << stored.error().message;
  EXPECT_GE(call.times.first_byte, Milliseconds(290));
}

TEST_F(RemoteFaultsTest, AKeptConnectionThatDiedIsReplacedAndTheUploadSentAgain) {
  // The first connection answers once and closes at the second request without a word.
  std::atomic<int> connections{0};
  FaultServer server([&](testing::Connection& peer) {
    bool first = connections++ == 0;
    while (auto request = peer.read_head()) {
      if (!peer.read_body(*request)) return;
      if (!peer.answer(200)) return;
      if (first) {
        peer.read_head();
        return;
      }
    }
  });
  NxRemote remote(options_for(server.authority(), patience));
  for (int i = 0; i < 2; ++i) {
    MemoryEntry entry("body");
    RemoteCall call_to_it;
    auto stored = remote.store(key, entry, call_to_it);
    ASSERT_TRUE(stored) << i << ": " << stored.error().message;
    EXPECT_EQ(*stored, StoreResult::stored);
  }
  EXPECT_EQ(connections, 2);
}

TEST_F(RemoteFaultsTest, BehindTheGuardADeadServerCostsOneTimeout) {
  patience.first_byte = kShort;
  FaultServer server(faults::silent());
  GuardedRemote::Options guard;
  guard.patience = patience;
  guard.breaker = {.first_pause = std::chrono::hours(1), .most_pause = std::chrono::hours(1)};
  GuardedRemote remote(std::make_unique<NxRemote>(options_for(server.authority(), patience)), guard);
  Nanoseconds waited{0};
  for (int i = 0; i < 50; ++i) {
    RemoteCall one;
    EXPECT_FALSE(remote.fetch(key, writer, one));
    waited += one.times.waited();
  }
  EXPECT_EQ(server.accepted(), 1u);
  EXPECT_GE(waited, patience.first_byte);
  EXPECT_LT(waited, kHang);
}

TEST_F(RemoteFaultsTest, BehindTheGuardAServerThatComesBackIsUsedAgain) {
  patience.first_byte = 10 * kShort;
  std::atomic<bool> well{false};
  FaultServer server([&](testing::Connection& peer) {
    if (!well) return peer.wait_closed();
    faults::status(404)(peer);
  });
  Guarded<BreakerState> state(BreakerState::closed);
  GuardedRemote::Options guard;
  guard.patience = patience;
  guard.breaker = {.first_pause = Milliseconds(10), .most_pause = Milliseconds(50)};
  guard.changed = [&](BreakerState now) {
    *state.lock() = now;
    state.notify_all();
  };
  GuardedRemote remote(std::make_unique<NxRemote>(options_for(server.authority(), patience)), guard);
  EXPECT_FALSE(remote.fetch(key, writer, call));
  well = true;
  ASSERT_TRUE(state.lock().wait_until(std::stop_token(), std::chrono::steady_clock::now() + kHang,
                                      [](BreakerState now) { return now == BreakerState::closed; }));
  RemoteCall again;
  auto fetched = remote.fetch(key, writer, again);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::not_found) << fetched.error().message;
}

}  // namespace
}  // namespace hitfs
