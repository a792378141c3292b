// The endpoint with little memory: daemon and listener may use 128 MiB each, whatever passes through them.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <filesystem>
#include <iostream>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "tests/support/artifact_stream.h"
#include "tests/support/machine.h"
#include "tests/support/memory_cgroup.h"
#include "tests/support/raw_http.h"
#include "tests/support/socket_server.h"
#include "tests/support/temp_dir.h"

namespace hitfs::testing {
namespace {

constexpr uint64_t kMemory = 128u << 20;
constexpr uint64_t kLarge = 100'000'000;
constexpr uint64_t kDisk = 10ull << 30;  // what the largest of the tests has on the disk at once, with some room

std::string value_of(const std::string& lines, const std::string& variable) {
  const size_t begin = lines.find(variable + "=");
  if (begin == std::string::npos) return "";
  const size_t value = begin + variable.size() + 1;
  return lines.substr(value, lines.find('\n', value) - value);
}

// One request on a connection of its own, whose body is never held as a whole.
class Exchange {
 public:
  explicit Exchange(int port) : connection_(port) {}

  bool send_head(const std::string& request, const std::string& token, const std::string& headers = "") {
    return connection_.send(request + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n" +
                            headers + "\r\n");
  }
  bool send_body(ArtifactStream artifact) {
    for (auto piece = artifact.next(); !piece.empty(); piece = artifact.next()) {
      if (!connection_.send(piece)) return false;
    }
    return true;
  }
  // The status of the answer; 0 when none comes. What follows the head is kept for body_is().
  int read_head() {
    while (head_.find("\r\n\r\n") == std::string::npos) {
      if (!receive(head_, 4096)) return 0;
    }
    rest_ = head_.substr(head_.find("\r\n\r\n") + 4);
    return std::stoi(head_.substr(head_.find(' ') + 1, 3));
  }
  bool body_is(ArtifactStream artifact) {
    bool right = artifact.goes_on_with(rest_);
    while (right && !artifact.was_whole()) {
      rest_.clear();
      right = receive(rest_, 256 << 10) && artifact.goes_on_with(rest_);
    }
    return right;
  }

 private:
  bool receive(std::string& into, size_t bytes) {
    const size_t before = into.size();
    into.resize(before + bytes);
    const ssize_t got = ::recv(connection_.fd(), into.data() + before, bytes, 0);
    into.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return got > 0;
  }

  RawConnection connection_;
  std::string head_, rest_;
};

class EndpointMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto why = MemoryCgroup::why_not()) GTEST_SKIP() << *why;
    const auto space = std::filesystem::space(folder_.path());
    if (space.available < kDisk) GTEST_SKIP() << "less than 10 GiB free in " << folder_.path();
  }

  // Starts daemon and listener, and limits them before they have done anything.
  void start(const std::string& remote = "") {
    machine_.emplace(folder_ / "machine", remote);
    const Outcome started = machine_->hitfs({"start"});
    ASSERT_EQ(started.code, 0) << started.output;
    const std::string url = value_of(started.output, "NX_SELF_HOSTED_REMOTE_CACHE_SERVER");
    token_ = value_of(started.output, "NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN");
    port_ = std::stoi(url.substr(url.rfind(':') + 1));
    daemon_ = process("daemon");
    listener_ = process("listener");
    ASSERT_TRUE(daemon_group_.emplace("daemon", kMemory).add(daemon_));
    ASSERT_TRUE(listener_group_.emplace("listener", kMemory).add(listener_));
  }
  pid_t process(const std::string& what) {
    const Json status = machine_->status();
    return static_cast<pid_t>(status["supervisor"][what]["pid"].integer_or(0));
  }
  void TearDown() override {
    if (daemon_ == 0) return;
    for (const auto& [name, pid, group] :
         {std::tuple("daemon", daemon_, &*daemon_group_), std::tuple("listener", listener_, &*listener_group_)}) {
      EXPECT_EQ(group->kills(), 0u) << name << " ran out of memory";
      EXPECT_EQ(process(name), pid) << name << " was restarted";
      std::cout << "[   SEEN   ] " << name << ": at most " << memory_of(pid, "VmHWM") / 1024 << " MiB of its own, "
                << (group->peak_bytes() >> 20) << " MiB with the page cache of its files\n";
    }
  }

  int put(const std::string& name, const ArtifactStream& artifact) const {
    Exchange exchange(port_);
    const bool sent = exchange.send_head("PUT /v1/cache/" + name, token_,
                                         "Content-Length: " + std::to_string(artifact.size()) + "\r\n") &&
                      exchange.send_body(artifact);
    return sent ? exchange.read_head() : 0;
  }
  bool get_is(const std::string& name, const ArtifactStream& artifact) const {
    Exchange exchange(port_);
    return exchange.send_head("GET /v1/cache/" + name, token_) && exchange.read_head() == 200 &&
           exchange.body_is(artifact);
  }
  // How many of `count` GETs at once were right; all have their head before the first takes its body.
  int gets_at_once(int count, const std::function<std::string(int)>& name_of,
                   const std::function<ArtifactStream(int)>& artifact_of) const {
    std::latch begun(count);
    std::atomic<int> right = 0;
    std::vector<std::jthread> clients;
    for (int i = 0; i < count; ++i) {
      clients.emplace_back([&, i] {
        Exchange exchange(port_);
        const bool found = exchange.send_head("GET /v1/cache/" + name_of(i), token_) && exchange.read_head() == 200;
        begun.arrive_and_wait();
        right += found && exchange.body_is(artifact_of(i));
      });
    }
    clients.clear();
    return right;
  }

  TempDir folder_;
  Enclosure enclosure_{folder_.path()};
  std::optional<MemoryCgroup> daemon_group_, listener_group_;
  std::optional<Machine> machine_;
  std::string token_;
  int port_ = 0;
  pid_t daemon_ = 0, listener_ = 0;
};

TEST_F(EndpointMemoryTest, SixtyFourGetsOfAHundredMegabytesBesideAPutOfTwoGibibytes) {
  start();
  ASSERT_FALSE(HasFatalFailure());
  constexpr int kArtifacts = 4;
  auto name_of = [](int i) { return std::to_string(1000 + i % kArtifacts); };
  auto artifact_of = [](int i) { return ArtifactStream(kLarge, static_cast<uint64_t>(i % kArtifacts)); };
  for (int i = 0; i < kArtifacts; ++i) ASSERT_EQ(put(name_of(i), artifact_of(i)), 200);

  const ArtifactStream huge(2ull << 30, 99);
  std::jthread putting([&] { EXPECT_EQ(put("2000", huge), 200); });
  EXPECT_EQ(gets_at_once(64, name_of, artifact_of), 64);
  putting.join();
  EXPECT_TRUE(get_is("2000", huge));
}

// The same from a remote: the daemon takes as many at once as it can, looks into them and keeps them. What one costs in
// memory does not depend on its size, so these are smaller: the disk is what takes the time.
TEST_F(EndpointMemoryTest, SixtyFourPullsAtOnce) {
  const uint64_t pulled = std::getenv("HITFS_DRILL_LONG") != nullptr ? kLarge : kLarge / 4;
  const SocketServer remote([pulled](Connection& peer) {
    while (peer.read_head()) {
      ArtifactStream artifact(pulled, 7);
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(artifact.size()) + "\r\n\r\n");
      for (auto piece = artifact.next(); !piece.empty() && peer.send(piece); piece = artifact.next()) {
      }
    }
  });
  start("nx+http://" + remote.authority());
  ASSERT_FALSE(HasFatalFailure());
  auto name_of = [](int i) { return std::to_string(5000 + i); };
  auto artifact_of = [pulled](int) { return ArtifactStream(pulled, 7); };
  EXPECT_EQ(gets_at_once(64, name_of, artifact_of), 64) << machine_->hitfs({"status"}).output;
}

TEST_F(EndpointMemoryTest, SixHundredConnectionsAtOnce) {
  start();
  ASSERT_FALSE(HasFatalFailure());
  const ArtifactStream artifact(100'000, 3);
  ASSERT_EQ(put("3000", artifact), 200);
  EXPECT_EQ(gets_at_once(
                600, [](int) { return "3000"; }, [&](int) { return artifact; }),
            600);
}

}  // namespace
}  // namespace hitfs::testing
