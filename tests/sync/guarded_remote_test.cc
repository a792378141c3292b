#include "sync/remotes/guarded_remote.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "tests/support/memory_entry.h"

namespace hitfs {
namespace {

using testing::MemoryEntry;
using testing::MemoryWriter;

constexpr auto kHang = std::chrono::seconds(60);  // a test that waits this long has failed

// Answers as it is told; may hold a call until it is let go, as a hanging drive does.
class ScriptedRemote final : public Remote {
 public:
  struct State {
    Trouble trouble = Trouble::none;
    std::optional<Milliseconds> retry_after;
    bool hold = false;
    int calls = 0, probes = 0, held = 0;
  };

  Status fetch(const RemoteKey&, EntryWriter&, RemoteCall& call) override { return answer(call); }
  Result<StoreResult> store(const RemoteKey&, EntryReader&, RemoteCall& call) override {
    auto answered = answer(call);
    if (!answered) return std::move(answered).error();
    return StoreResult::stored;
  }
  Result<bool> contains(const RemoteKey&, RemoteCall& call) override {
    ++script->lock()->probes;
    auto answered = answer(call);
    if (!answered) return std::move(answered).error();
    return false;
  }
  Status remove(const RemoteKey&, RemoteCall& call) override { return answer(call); }
  std::string_view own_space() const override { return "nx"; }
  std::string describe() const override { return "scripted"; }

  // Shared with the test, which may outlive the remote.
  const std::shared_ptr<Guarded<State>> script = std::make_shared<Guarded<State>>();

 private:
  Status answer(RemoteCall& call) {
    auto& state = *script;
    auto now = state.lock();
    ++now->calls;
    if (now->hold) {
      call.waiting_since = system_clock().now().time_since_epoch().count();
      ++now->held;
      state.notify_all();
      now.wait(std::stop_token(), [](const State& later) { return !later.hold; });
      --now->held;
      call.waiting_since = 0;
      state.notify_all();
    }
    call.trouble = now->trouble;
    call.retry_after = now->retry_after;
    if (call.trouble == Trouble::none) return Ok{};
    return Error{Code::unavailable, "scripted trouble"};
  }
};

class GuardedRemoteTest : public ::testing::Test {
 protected:
  GuardedRemoteTest() {
    options.breaker = {.first_pause = Milliseconds(5), .most_pause = Milliseconds(20)};
    options.changed = [this](BreakerState state) {
      seen.lock()->push_back(state);
      seen.notify_all();
    };
  }
  void open(GuardedRemote::Options with) {
    auto owned = std::make_unique<ScriptedRemote>();
    script = owned->script;
    guarded = std::make_unique<GuardedRemote>(std::move(owned), std::move(with));
  }
  Status fetch() {
    MemoryWriter writer;
    RemoteCall call;
    return guarded->fetch(key, writer, call);
  }
  Result<StoreResult> store() {
    MemoryEntry entry("x");
    RemoteCall call;
    return guarded->store(key, entry, call);
  }
  bool wait_for(BreakerState state) {
    return seen.lock().wait_until(std::stop_token(), std::chrono::steady_clock::now() + kHang,
                                  [&](const auto& states) { return !states.empty() && states.back() == state; });
  }

  RemoteKey key = RemoteKey::of(Key{"", "nx", "1"}, 0, "nx");
  GuardedRemote::Options options;
  Guarded<std::vector<BreakerState>> seen;
  std::shared_ptr<Guarded<ScriptedRemote::State>> script;
  std::unique_ptr<GuardedRemote> guarded;
};

TEST_F(GuardedRemoteTest, ADeadRemoteIsAskedOnceAndThenNoMore) {
  options.breaker = {.first_pause = std::chrono::hours(1), .most_pause = std::chrono::hours(1)};
  open(options);
  script->lock()->trouble = Trouble::silent;
  for (int i = 0; i < 5; ++i) {
    auto fetched = fetch();
    ASSERT_FALSE(fetched);
    EXPECT_EQ(fetched.error().code, Code::unavailable);
    EXPECT_EQ(fetched.error().message.find("breaker open") != std::string::npos, i > 0) << fetched.error().message;
  }
  EXPECT_FALSE(store());
  EXPECT_EQ(script->lock()->calls, 1);
  EXPECT_EQ(guarded->breaker().status().refused, 5u);
}

TEST_F(GuardedRemoteTest, TheProbeBringsItBackByItself) {
  open(options);
  script->lock()->trouble = Trouble::connect;
  EXPECT_FALSE(fetch());
  ASSERT_TRUE(wait_for(BreakerState::open));
  script->lock()->trouble = Trouble::none;
  ASSERT_TRUE(wait_for(BreakerState::closed));
  EXPECT_TRUE(fetch());
  EXPECT_GE(script->lock()->probes, 1);
}

TEST_F(GuardedRemoteTest, ATripFromOutsideIsProbedToo) {
  open(options);
  guarded->trip("budget spent");
  ASSERT_TRUE(wait_for(BreakerState::closed));
  EXPECT_EQ(guarded->breaker().status().why, "budget spent");
}

TEST_F(GuardedRemoteTest, RetryAfterHoldsOffItsOwnTrafficOnly) {
  open(options);
  *script->lock() = {.trouble = Trouble::paced, .retry_after = std::chrono::hours(1)};
  EXPECT_FALSE(store());
  script->lock()->trouble = Trouble::none;
  script->lock()->retry_after.reset();
  int asked = script->lock()->calls;
  RemoteCall call;
  MemoryEntry entry("x");
  auto again = guarded->store(key, entry, call);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::unavailable);
  EXPECT_EQ(call.trouble, Trouble::paced);
  ASSERT_TRUE(call.retry_after);
  EXPECT_GT(*call.retry_after, std::chrono::minutes(59));
  EXPECT_GT(guarded->pause(Traffic::writes), std::chrono::minutes(59));
  EXPECT_EQ(script->lock()->calls, asked) << "it was asked all the same";
  EXPECT_EQ(guarded->pause(Traffic::reads), Milliseconds(0));
  EXPECT_TRUE(fetch());
  EXPECT_EQ(guarded->breaker().status().state, BreakerState::closed);
}

TEST_F(GuardedRemoteTest, ACallThatHangsBeyondEveryLimitOpensTheBreaker) {
  options.patience = {.connect = Milliseconds(10), .first_byte = Milliseconds(20), .stall = Milliseconds(10)};
  open(options);
  script->lock()->hold = true;
  std::thread caller([&] { EXPECT_TRUE(fetch()); });
  EXPECT_TRUE(wait_for(BreakerState::open));
  EXPECT_FALSE(fetch()) << "the second call does not hang";
  script->lock()->hold = false;
  script->notify_all();
  caller.join();
  EXPECT_TRUE(wait_for(BreakerState::closed));
}

TEST_F(GuardedRemoteTest, AHangingProbeIsLeftBehind) {
  open(options);
  script->lock()->hold = true;
  guarded->trip("test");
  auto& state = *script;
  ASSERT_TRUE(state.lock().wait_until(std::stop_token(), std::chrono::steady_clock::now() + kHang,
                                      [](const auto& now) { return now.held == 1; }));
  guarded.reset();
  // The thread left behind still owns the remote: let it go and see it end.
  auto now = state.lock();
  now->hold = false;
  state.notify_all();
  EXPECT_TRUE(now.wait_until(std::stop_token(), std::chrono::steady_clock::now() + kHang,
                             [](const auto& later) { return later.held == 0; }));
  EXPECT_EQ(seen.lock()->back(), BreakerState::open) << "nobody is told after the end";
}

TEST_F(GuardedRemoteTest, SomethingElseThanSilenceIsPassedOn) {
  open(options);
  script->lock()->trouble = Trouble::broken;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(fetch());
  EXPECT_EQ(script->lock()->calls, 3);
  EXPECT_EQ(guarded->own_space(), "nx");
  EXPECT_EQ(guarded->describe(), "scripted");
}

}  // namespace
}  // namespace hitfs
