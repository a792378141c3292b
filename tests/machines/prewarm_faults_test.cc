#include <gtest/gtest.h>
#include <sys/mount.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "store/base/guarded.h"
#include "store/base/json.h"
#include "tests/machines/build_machines.h"
#include "tests/support/eventually.h"
#include "tests/support/socket_server.h"

// What a prewarm does when something around it breaks: it ends in time, says what happened, and leaves nothing half.
namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kKeys = 40;
constexpr Milliseconds kSoon{30'000};

// A cache server that answers some GETs of entries, and holds back the others until it is opened.
class GateServer {
 public:
  explicit GateServer(std::map<std::string, std::string> entries, size_t at_once)
      : entries_(std::move(entries)), state_({.left = at_once}), server_([this](Connection& peer) { serve(peer); }) {}
  // As a server that dies: what it holds back is never answered.
  ~GateServer() {
    state_.lock()->dying = true;
    state_.notify_all();
  }

  [[nodiscard]] std::string url() const { return "nx+http://" + server_.authority(); }
  void open() {
    state_.lock()->left = SIZE_MAX;
    state_.notify_all();
  }
  // GETs of entries so far, answered or not.
  [[nodiscard]] size_t asked() { return state_.lock()->asked; }
  [[nodiscard]] bool holds_some() {
    auto state = state_.lock();
    return state->held > 0;
  }

 private:
  struct State {
    size_t left = 0, asked = 0, held = 0;
    bool dying = false;
  };
  void serve(Connection& peer) {
    while (auto request = peer.read_head()) {
      auto name = request->target.substr(request->target.rfind('/') + 1);
      auto found = entries_.find(name);
      if (request->method != "GET") {
        if (!peer.read_body(*request) || !peer.answer(200)) return;
      } else if (found == entries_.end()) {
        if (!peer.answer(404)) return;
      } else {
        if (!wait_for_turn() || !peer.answer(200, found->second)) return;
      }
    }
  }
  bool wait_for_turn() {
    auto state = state_.lock();
    ++state->asked;
    ++state->held;
    state.wait_until(std::stop_token(), system_clock().now() + Milliseconds(60'000),
                     [](const State& now) { return now.left > 0 || now.dying; });
    --state->held;
    if (state->dying || state->left == 0) return false;
    if (state->left != SIZE_MAX) --state->left;
    return true;
  }

  const std::map<std::string, std::string> entries_;
  Guarded<State> state_;
  SocketServer server_;  // last: its threads use the rest
};

class PrewarmFaultsTest : public BuildMachines {
 protected:
  void SetUp() override {
    BuildMachines::SetUp();
    if (IsSkipped()) return;
    for (int i = 0; i < kKeys; ++i) names_ += (i == 0 ? "" : " ") + std::to_string(100 + i);
  }
  // What a build of main left on the team's server: its list, and every entry.
  std::map<std::string, std::string> built_on_main() {
    EXPECT_EQ(run(build("builder", main_, names_), kLimit).code, 0);
    throw_away("builder");
    std::map<std::string, std::string> entries;
    for (int i = 0; i < kKeys; ++i) entries[std::to_string(100 + i)] = golden("nx-24.0.6.tar.gz");
    entries[part_name(one_, 0)] = on_server(part_name(one_, 0));
    return entries;
  }
  // The list passes, and some entries.
  void open_gate(size_t entries) { gate_ = std::make_unique<GateServer>(built_on_main(), entries + 1); }
  Command at_gate(Command command) const {
    command.environment["HITFS_REMOTE"] = gate_->url();
    return command;
  }
  Command prewarm() { return at_gate(on("b", {"prewarm", "--json"}, main_.folder())); }
  void wait_until_held() {
    ASSERT_TRUE(eventually([&] { return gate_->holds_some(); }));
  }
  void kill_daemon() {
    const Json status = last_json(run(at_gate(on("b", {"status", "--json"}, main_.folder())), kLimit).output);
    auto pid = static_cast<pid_t>(status["supervisor"]["daemon"]["pid"].integer_or(0));
    ASSERT_GT(pid, 0) << status.dump();
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
  }
  // Whole entries or none, and everything that the server has is a hit.
  void expect_sound() {
    gate_->open();
    const auto verified = run(at_gate(on("b", {"verify"}, main_.folder())), kLimit);
    EXPECT_EQ(verified.code, 0) << verified.output;
    const auto built = run(at_gate(build("b", main_, names_, {"--run-list", "off"})), kLimit);
    EXPECT_EQ(built.code, 0) << built.output;
    const Json counters = last_json(built.output);
    EXPECT_EQ(counters["hit"].integer_or(0), kKeys) << built.output;
  }
  // A file that appears lets the command of a run go on.
  [[nodiscard]] std::string waiting() const { return "until [ -e " + go_.string() + " ]; do sleep 0.05; done\n"; }
  void go() const { std::ofstream(go_) << "go"; }

  std::string names_;
  fs::path go_ = folder_ / "go";
  std::unique_ptr<GateServer> gate_;
};

TEST_F(PrewarmFaultsTest, ADaemonKilledInTheMiddleIsSucceededByOneThatGoesOn) {
  open_gate(10);
  Process prewarming(prewarm());
  wait_until_held();
  kill_daemon();
  gate_->open();
  const auto ended = prewarming.wait(kSoon);
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_NE(ended.output.find("the daemon has ended: the prewarm goes on"), std::string::npos) << ended.output;
  const Json got = last_json(ended.output);
  EXPECT_EQ(got["wanted"].integer_or(0), kKeys);
  EXPECT_EQ(got["pulled"].integer_or(0) + got["here"].integer_or(0), kKeys) << ended.output;
  EXPECT_EQ(got["failed"].integer_or(-1), 0);
  expect_sound();
}

TEST_F(PrewarmFaultsTest, ADaemonKilledBesideARunCostsTheBuildNothing) {
  open_gate(10);
  Process running(at_gate(build("b", main_, names_, {"--prewarm-base", "HEAD"}, waiting())));
  wait_until_held();
  kill_daemon();
  gate_->open();
  go();
  const auto ended = running.wait(kLimit);
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_NE(ended.output.find("how far the prewarm came is not known, the daemon has ended meanwhile"),
            std::string::npos)
      << ended.output;
  expect_sound();
}

TEST_F(PrewarmFaultsTest, AServerThatDiesInTheMiddleIsSaidAndIsNoFailure) {
  open_gate(10);
  Process prewarming(prewarm());
  wait_until_held();
  auto entries = built_on_main();
  gate_.reset(new GateServer(std::move(entries), SIZE_MAX));  // at another port: the first one's is refused
  const auto ended = prewarming.wait(kSoon);
  EXPECT_FALSE(ended.timed_out);
  EXPECT_EQ(ended.code, 0) << ended.output;
  const Json got = last_json(ended.output);
  EXPECT_GT(got["failed"].integer_or(0), 0) << ended.output;
  EXPECT_FALSE(got["trouble"].text_or("").empty()) << ended.output;
  EXPECT_EQ(got["pulled"].integer_or(0) + got["failed"].integer_or(0) + got["missing"].integer_or(0), kKeys);
  // The one that is at another port now.
  ASSERT_FALSE(stop_hitfs(store("b"), "0s").timed_out);
  expect_sound();
}

TEST_F(PrewarmFaultsTest, CtrlCEndsIt) {
  open_gate(10);
  Process prewarming(prewarm());
  wait_until_held();
  prewarming.signal_group(SIGINT);
  const auto ended = prewarming.wait(kSoon);
  EXPECT_EQ(ended.code, 128 + SIGINT) << ended.output;
  const Json got = last_json(ended.output);
  EXPECT_EQ(got["limit"].text_or(""), "stopped") << ended.output;
  EXPECT_GT(got["left_out"].integer_or(0), 0) << ended.output;
  const auto asked = gate_->asked();
  EXPECT_LT(asked, static_cast<size_t>(kKeys)) << "nothing more is started";
  expect_sound();
}

TEST_F(PrewarmFaultsTest, CtrlCAtARunEndsItsPrewarm) {
  open_gate(10);
  Process running(at_gate(build("b", main_, names_, {"--prewarm-base", "HEAD"}, waiting())));
  wait_until_held();
  running.signal_group(SIGINT);
  const auto ended = running.wait(kSoon);
  EXPECT_EQ(ended.code, 128 + SIGINT) << ended.output;
  EXPECT_FALSE(ended.timed_out);
  expect_sound();
}

// The store on a small disk of its own.
TEST_F(PrewarmFaultsTest, AFullDiskLeavesOutWhatDoesNotFit) {
  fs::create_directories(store("b"));
  if (::mount("none", store("b").c_str(), "tmpfs", 0, "size=16m") < 0) GTEST_SKIP() << "no right to mount a small disk";
  auto entries = built_on_main();
  // Of a format that nobody knows, so that it is kept as it is.
  for (auto& [name, bytes] : entries) {
    if (name.size() < 10) bytes = "\x28\xb5\x2f\xfd" + name + std::string(1 << 20, 'x');
  }
  gate_ = std::make_unique<GateServer>(std::move(entries), SIZE_MAX);
  const auto ended = run(prewarm(), kLimit);
  EXPECT_EQ(ended.code, 0) << ended.output;
  const Json got = last_json(ended.output);
  EXPECT_GT(got["pulled"].integer_or(0), 0) << ended.output;
  EXPECT_GT(got["failed"].integer_or(0), 0) << ended.output;
  EXPECT_FALSE(got["trouble"].text_or("").empty()) << ended.output;
  const auto verified = run(at_gate(on("b", {"verify"}, main_.folder())), kLimit);
  EXPECT_EQ(verified.code, 0) << verified.output;
  // What fits is a hit, the rest a miss: never an error, which would end a build.
  constexpr const char* kAsk = R"(for name in $NAMES; do
    curl -s -o /dev/null -w '%{http_code}\n' -H "Authorization: Bearer $NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN" \
      "$NX_SELF_HOSTED_REMOTE_CACHE_SERVER/v1/cache/$name"
  done)";
  auto asking = at_gate(on("b", {"run", "--", "/bin/sh", "-c", kAsk}, main_.folder()));
  asking.environment["NAMES"] = names_;
  const auto asked = run(asking, kLimit);
  EXPECT_EQ(asked.code, 0) << asked.output;
  int64_t hits = 0, misses = 0;
  std::istringstream lines(asked.output);
  for (std::string line; std::getline(lines, line);) {
    hits += line == "200" ? 1 : 0;
    misses += line == "404" ? 1 : 0;
  }
  EXPECT_EQ(hits + misses, kKeys) << asked.output;
  EXPECT_GE(hits, got["pulled"].integer_or(0)) << asked.output;
  EXPECT_GT(misses, 0);
}

}  // namespace
}  // namespace hitfs::testing
