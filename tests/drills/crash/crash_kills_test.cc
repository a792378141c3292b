// The daemon of the hitfs that was built is killed at random moments, and inside of each kind of work in turn, while it
// stores, pulls, pushes, evicts and writes run lists. What it acknowledged is here, or on the server when it had to
// make room; nothing else is, and no byte is wrong.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <random>
#include <set>
#include <thread>

#include "store/daemon_client.h"
#include "store/store_reader.h"
#include "sync/remotes/remote.h"
#include "tests/drills/crash/killed_daemon.h"
#include "tests/store/store_helpers.h"
#include "tests/support/memory_nx_server.h"
#include "tests/support/raw_http.h"

namespace hitfs::testing {

namespace {

constexpr int kKeys = 160;       // made here
constexpr int kPulled = 60;      // on the server from the beginning
constexpr int kFewest = 20;      // kills inside of each kind of work, of a long run
constexpr int kCheckAll = 50;    // kills between two checks of everything
constexpr int kOperations = 12;  // of one daemon
const std::string kFront = "listener";

Key key_of(int number) { return {"", "nx", std::to_string(1'000'000'000'000'000'000 + number)}; }

// A format of tomorrow: kept as it is. Some are blobs of their own, the others lie in packs.
std::string contents_of(int number) {
  auto size = number % 3 == 0 ? 70'000 + 300 * number : 2'000 + 130 * number;
  return "\x28\xb5\x2f\xfd" + bytes_of(static_cast<size_t>(size), static_cast<unsigned>(number));
}

int kills_wanted() {
  if (const char* count = std::getenv("HITFS_DRILL_KILLS")) return std::atoi(count);
  return std::getenv("HITFS_DRILL_LONG") != nullptr ? 10'000 : 120;
}

}  // namespace

class CrashKillsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(paths_.staging(kFront));
    for (int i = kKeys; i < kKeys + kPulled; ++i) {
      auto name = RemoteKey::of(key_of(i), 0, "nx").name;
      ASSERT_EQ(request(server_.server().port(), "PUT", "/v1/cache/" + name, "", contents_of(i)).status, 200);
    }
    DaemonOptions options;
    options.store = paths_;
    options.limits.max_bytes = 4 << 20;
    RemoteOptions remote;
    remote.name = "team";
    remote.url = server_.url();
    options.remotes = {remote};
    daemon_ = std::make_unique<KilledDaemon>(options, page_);
    ASSERT_TRUE(daemon_->start());
    auto reader = StoreReader::open(paths_);
    ASSERT_TRUE(reader) << why(reader);
    reader_ = *std::move(reader);
    client_ = DaemonClient::open(paths_);
    daemon_->end();
  }

  static Deadline soon() { return Deadline::after(std::chrono::minutes(2)); }
  int any(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }

  // Chooses where the next daemon dies: inside of one kind of work (in turns), anywhere, or when a timer says so.
  void arm(int turn) {
    page_->died_in = KillPage::kNone;
    for (auto& count : page_->under_way) count = 0;
    page_->moment = static_cast<KillPage::Moment>(any(3));
    bool in_turn = turn % 2 == 0;
    bool anywhere = turn % 4 == 1;
    auto chosen = static_cast<uint32_t>(turn / 2 % static_cast<int>(kPhases));
    page_->countdown = in_turn ? 1 + any(12) : 1 + any(150);
    page_->armed = in_turn ? chosen : anywhere ? KillPage::kAnyPhase : KillPage::kNone;
  }

  // One daemon from its start to its death.
  void live_and_die(int turn) {
    arm(turn);
    bool by_timer = page_->armed == KillPage::kNone;
    bool served = daemon_->start();
    std::jthread timer;
    if (by_timer) {
      timer = std::jthread([this, after = std::chrono::microseconds(any(25'000))] {
        std::this_thread::sleep_for(after);
        daemon_->signal(SIGKILL);
      });
    }
    for (int i = 0; served && i < kOperations && daemon_->alive(); ++i) work();
    if (timer.joinable()) timer.join();
    page_->armed = KillPage::kNone;
    daemon_->signal(SIGKILL);  // it has done all that it was asked for
    int status = daemon_->wait();
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it ended by itself: " << status;
    count_kill(by_timer);
  }

  void count_kill(bool by_timer) {
    ++kills_;
    (page_->died_in != KillPage::kNone ? by_itself_ : by_timer ? by_timer_ : at_the_end_) += 1;
    bool inside = false;
    for (size_t phase = 0; phase < kPhases; ++phase) {
      if (page_->under_way[phase] == 0) continue;
      ++histogram_[phase];
      inside = true;
    }
    if (!inside) ++between_;
  }

  void work() {
    switch (any(8)) {
      case 0: return publish_list();
      case 1:
      case 2: return pull(kKeys + any(kPulled));
      default: return store(any(kKeys));
    }
  }

  void store(int number) {
    auto file = "upload-" + std::to_string(++uploads_);
    std::ofstream(paths_.staging(kFront) / file, std::ios::binary) << contents_of(number);
    auto stored = client_->store(kFront, file, key_of(number), soon());
    std::filesystem::remove(paths_.staging(kFront) / file);
    if (!stored) return;
    bool kept = stored->outcome == StoreOutcome::stored || stored->outcome == StoreOutcome::same;
    EXPECT_TRUE(kept || stored->outcome == StoreOutcome::refused) << "different bytes: " << stored->why;
    if (!kept) return;
    ++acknowledged_;
    here_.insert(number);
  }

  void pull(int number) {
    std::promise<FetchReply> promise;
    auto reply = promise.get_future();
    client_->fetch(key_of(number), std::chrono::seconds(30), [&](FetchReply got) { promise.set_value(got); });
    auto outcome = reply.get().outcome;
    EXPECT_NE(outcome, FetchOutcome::absent) << "the server has it";
    if (outcome == FetchOutcome::here) ++pulls_;
  }

  void publish_list() {
    Json body;
    auto session = client_->call("POST", "/v1/sessions", Json(Json::Object{}), soon());
    if (!session) return;
    body["session"] = std::as_const(*session)["session"].text_or("");
    char commit[41];
    std::snprintf(commit, sizeof(commit), "%040d", ++lists_);
    body["commit"] = std::string(commit);
    body["complete"] = true;
    body["tasks"] = Json::Array{};
    for (int number : here_) body["tasks"].push_back(Json::Object{{"key", key_of(number).text()}, {"task", "t:build"}});
    auto published = client_->call("POST", "/v1/lists", body, soon());
    if (published && !std::as_const(*published)["part"].text_or("").empty()) ++published_;
  }

  // What is here must be whole and right.
  bool is_here(int number) {
    auto entry = reader_->find(key_of(number));
    if (!entry) {
      EXPECT_EQ(entry.error().code, Code::not_found) << why(entry);
      return false;
    }
    EXPECT_TRUE(entry->artifact);
    auto bytes = read_blob(*reader_, *entry->artifact);
    EXPECT_TRUE(bytes) << number << ": " << why(bytes);
    EXPECT_TRUE(bytes && *bytes == contents_of(number)) << "wrong bytes of " << number;
    ++reads_;
    return true;
  }

  bool is_on_server(int number) {
    auto name = RemoteKey::of(key_of(number), 0, "nx").name;
    auto reply = request(server_.server().port(), "GET", "/v1/cache/" + name);
    if (reply.status != 200) return false;
    EXPECT_TRUE(reply.body == contents_of(number)) << "wrong bytes on the server";
    return true;
  }

  void check(int number) {
    bool here = is_here(number);
    bool acknowledged = here_.contains(number);
    if (here || !acknowledged) return;
    EXPECT_TRUE(is_on_server(number)) << number << " was acknowledged and is lost";
  }

  // With nobody killed: everything goes out, the daemon ends in order, and the store is sound to the last counter.
  void check_everything() {
    page_->armed = KillPage::kNone;
    ASSERT_TRUE(daemon_->start());
    Json limit;
    limit["timeout_ms"] = 60'000;
    auto flushed = client_->call("POST", "/v1/flush", limit, soon());
    ASSERT_TRUE(flushed) << why(flushed);
    EXPECT_EQ(std::as_const(*flushed)["pending"].integer_or(-1), 0) << flushed->dump();
    auto verified = client_->call("POST", "/v1/verify", Json(Json::Object{}), soon());
    ASSERT_TRUE(verified) << why(verified);
    EXPECT_EQ(std::as_const(*verified)["damaged"].items().size(), 0u) << verified->dump();
    for (int i = 0; i < kKeys + kPulled; ++i) check(i);
    for (int number : here_) EXPECT_TRUE(is_on_server(number)) << number << " was never pushed";
    daemon_->signal(SIGTERM);
    EXPECT_EQ(daemon_->wait(), 0);
    for (const auto& finding : check_store(paths_)) ADD_FAILURE() << finding;
    ++whole_checks_;
  }

  // Of the kinds of work that a daemon does.
  [[nodiscard]] int fewest_kills() const {
    int fewest = kills_;
    for (auto phase : {Phase::body_receive, Phase::blob_rename, Phase::index_transaction, Phase::push_acknowledgement,
                       Phase::eviction, Phase::run_list_write}) {
      fewest = std::min(fewest, histogram_[static_cast<size_t>(phase)]);
    }
    return fewest;
  }

  void print() {
    std::printf(
        "[ drill    ] %d kills of the daemon: %d by itself at a system call, %d by a timer, %d after its work\n"
        "[ drill    ] meanwhile: %d stores acknowledged, %d pulls, %d run lists, %d entries read and compared, %d "
        "times "
        "everything\n[ drill    ] inside of:",
        kills_, by_itself_, by_timer_, at_the_end_, acknowledged_, pulls_, published_, reads_, whole_checks_);
    for (size_t i = 0; i < kPhases; ++i) std::printf(" %s %d,", kPhaseNames[i], histogram_[i]);
    std::printf(" between system calls %d\n", between_);
  }

  FastTempDir dir_;
  StorePaths paths_{dir_ / "store"};
  MemoryNxServer server_;
  SharedKillPage page_{dir_.path()};
  std::unique_ptr<KilledDaemon> daemon_;
  std::unique_ptr<StoreReader> reader_;
  std::unique_ptr<DaemonClient> client_;
  std::mt19937 random_{std::random_device{}()};
  std::set<int> here_;  // acknowledged
  std::array<int, kPhases> histogram_{};
  int kills_ = 0, by_itself_ = 0, by_timer_ = 0, at_the_end_ = 0, between_ = 0;
  int uploads_ = 0, lists_ = 0, acknowledged_ = 0, pulls_ = 0, published_ = 0, reads_ = 0, whole_checks_ = 0;
};

TEST_F(CrashKillsTest, OfTheDaemonLoseNothingAcknowledged) {
  int wanted = kills_wanted();
  int fewest = wanted >= 10'000 ? kFewest : 1;
  // Which work a kill meets is chance: a short run goes on until it has met all of them.
  for (int turn = 0; (turn < wanted || (turn < 4 * wanted && fewest_kills() < fewest)) && !HasFailure(); ++turn) {
    live_and_die(turn);
    for (int i = 0; i < 4 && !HasFailure(); ++i) check(any(kKeys + kPulled));
    if (turn % kCheckAll == kCheckAll - 1 && !HasFailure()) check_everything();
  }
  if (!HasFailure()) check_everything();
  print();
  EXPECT_GT(by_itself_, wanted / 4);
  EXPECT_GT(acknowledged_, wanted / 4);
  EXPECT_GE(fewest_kills(), fewest);
}

}  // namespace hitfs::testing
