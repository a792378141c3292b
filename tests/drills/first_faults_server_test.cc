// A server that is down, slow, broken or hostile is a miss, seen through a mount and through the endpoint.
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <regex>
#include <thread>

#include "store/archive/gzip.h"
#include "store/base/guarded.h"
#include "store/base/io.h"
#include "store/key.h"
#include "tests/drills/drill.h"
#include "tests/support/fault_server.h"
#include "tests/support/raw_tar.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kMostArtifact = 32 * kMiB;
constexpr uint64_t kMostUnpacked = 64 * kMiB;
constexpr size_t kBombUnpacked = 256 * kMiB;
// The patience of a lookup in a mount is 2 s; the rest is for a machine with other things to do.
constexpr Milliseconds kFirstLookup{4000};
constexpr int kMoreLookups = 6;
constexpr int kLookups = 2 * (kMoreLookups + 1);  // in mount and endpoint
constexpr Milliseconds kMoreLookupsTogether{4000};
constexpr Milliseconds kRecovery{30'000};

Milliseconds since(Clock::time_point begin) { return std::chrono::duration_cast<Milliseconds>(Clock::now() - begin); }

// Zeros that inflate to `unpacked` bytes and more: raw deflate, written by the product's own writer without its limit.
class TextSink final : public ByteSink {
 public:
  Status write(std::span<const std::byte> bytes) override {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return Ok{};
  }
  std::string text;
};

std::string gzip_of_zeros(const std::string& before, size_t zeros) {
  GuardLimits no_limit;
  no_limit.ratio = UINT32_MAX;
  TextSink sink;
  GzipWriter writer(sink, no_limit);
  static const std::vector<std::byte> kZeros(kMiB);
  EXPECT_TRUE(writer.write(io::as_bytes(before)));
  for (size_t done = 0; done < zeros; done += kZeros.size()) EXPECT_TRUE(writer.write(kZeros));
  EXPECT_TRUE(writer.finish());
  return sink.text;
}

// An artifact of nx with one huge member, or one of ours for a mount: both tell their size honestly.
std::string nx_bomb() {
  auto header = RawTar().add({.name = "zeros", .size = "02000000000"}).bytes;  // octal: 256 MiB
  return gzip_of_zeros(header, kBombUnpacked);
}

std::string flat_bomb() {
  std::string extra("HF\x18\x00\x01\x02\xa4\x01", 8);  // version 1, a file with mode 0644
  extra.append(8, '\0');                               // time
  for (int shift = 0; shift < 64; shift += 8) extra += static_cast<char>(uint64_t{kBombUnpacked} >> shift & 0xff);
  auto crc = crc32(io::as_bytes(std::string_view(extra).substr(4)));
  for (int shift = 0; shift < 32; shift += 8) extra += static_cast<char>(crc >> shift & 0xff);
  auto plain = gzip_of_zeros("", kBombUnpacked);
  return std::string("\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1c\0", 12) + extra + plain.substr(10);
}

SocketServer::Script bombs() {
  return [nx = nx_bomb(), flat = flat_bomb()](Connection& peer) {
    while (auto request = peer.read_head()) {
      auto name = request->target.substr(request->target.rfind('/') + 1);
      bool of_nx = name.find_first_not_of("0123456789") == std::string::npos;
      if (!peer.answer(200, of_nx ? nx : flat)) return;
    }
  };
}

enum class Front { mount, endpoint };
// What hitfs does after the first failure.
enum class Then { asks_again, opens_breaker, pauses };

struct Fault {
  const char* name;
  std::function<SocketServer::Script()> script;  // none: nobody listens
  Then then;
  const char* why;  // what `hitfs why` says about the first name
  Front first = Front::mount;
  bool answers_probes = false;  // so that the breaker may be closed again, at any time
};

void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

// Most disk that the store took while something else went on.
class DiskWatch {
 public:
  explicit DiskWatch(std::filesystem::path folder) : folder_(std::move(folder)) {
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        most_ = std::max(most_.load(), now());
        auto turn = turn_.lock();
        turn.wait_until(stop, Clock::now() + Milliseconds(5), [](int) { return false; });
      }
    });
  }
  [[nodiscard]] uint64_t most() const { return most_; }
  [[nodiscard]] uint64_t now() const {
    uint64_t bytes = 0;
    std::error_code gone;
    for (std::filesystem::recursive_directory_iterator at(folder_, gone), end; at != end; at.increment(gone)) {
      struct stat info {};
      if (::lstat(at->path().c_str(), &info) == 0) bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    }
    return bytes;
  }

 private:
  std::filesystem::path folder_;
  std::atomic<uint64_t> most_ = 0;
  Guarded<int> turn_{0};
  std::jthread thread_;
};

// "hitfs: mount · 2 hit (0 prewarmed) 5 miss · ..." as numbers by their words.
int64_t in_summary(const std::string& output, const std::string& word) {
  std::smatch found;
  std::regex pattern("hitfs: [a-z]+ · .*?(\\d+) " + word);
  return std::regex_search(output, found, pattern) ? std::stoll(found[1]) : -1;
}

}  // namespace

class ServerFaultTest : public Drill {
 protected:
  void begin() {
    start({"--remote", "nx+http://127.0.0.1:" + std::to_string(server_port_.number()), "--first-byte-timeout", "1s",
           "--stall-timeout", "1s", "--max-artifact-size", std::to_string(kMostArtifact), "--max-unpacked-size",
           std::to_string(kMostUnpacked)});
    if (HasFatalFailure()) return;
    place_ = mount("m");
  }

  // "missing" as the tool sees it, else what it saw.
  [[nodiscard]] std::string look_up(Front front, int number) const {
    if (front == Front::endpoint) {
      auto status = get(nx_name(number)).status;
      return status == 404 ? "missing" : "status " + std::to_string(status);
    }
    auto error = look(place_ / flat_name(number));
    return error == ENOENT ? "missing" : "errno " + std::to_string(error);
  }

  void expect_misses(Front front) {
    auto begin = Clock::now();
    EXPECT_EQ(look_up(front, 0), "missing");
    EXPECT_LT(since(begin).count(), kFirstLookup.count());
    begin = Clock::now();
    for (int i = 1; i <= kMoreLookups; ++i) EXPECT_EQ(look_up(front, i), "missing") << i;
    EXPECT_LT(since(begin).count(), kMoreLookupsTogether.count());
  }

  // How often the server was asked, the breaker's probe apart.
  static int64_t asked(FaultServer& server) {
    auto probe = "/v1/cache/" + RemoteKey::of({"", "hitfs-probe", "probe"}, 0, "nx").name;
    auto seen = server.seen();
    return std::count_if(seen.begin(), seen.end(), [&](const auto& request) { return request.target != probe; });
  }

  std::string why(Front front, int number) {
    return Drill::why(front == Front::mount ? "flat/" + flat_name(number) : "nx/" + nx_name(number));
  }
  std::string breaker() { return status()["remotes"].items().at(0)["breaker"].text_or(""); }

  void expect_recovery() {
    MemoryNxServer good("", "", "", "", server_port_.number());
    seed(good, "nx", nx_name(0), nx_artifact());
    seed(good, "flat", flat_name(0), "made elsewhere");
    EXPECT_TRUE(eventually([this] { return breaker() == "closed"; }, kRecovery));
    EXPECT_TRUE(eventually([this] { return get(nx_name(0)).status == 200; }, kRecovery));
    EXPECT_TRUE(eventually([this] { return look(place_ / flat_name(0)) == 0; }, kRecovery));
    EXPECT_EQ(get(nx_name(0)).body, nx_artifact());
    EXPECT_EQ(read_file(place_ / flat_name(0)), "made elsewhere");
  }

  ReservedPort server_port_;
  std::filesystem::path place_;
};

class ServerFaultTable : public ServerFaultTest, public ::testing::WithParamInterface<Fault> {};

TEST_P(ServerFaultTable, IsAMissInBoundedTimeAndPassesByItself) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  const auto& fault = GetParam();
  auto server = fault.script ? std::make_unique<FaultServer>(fault.script(), "", "", server_port_.number()) : nullptr;
  begin();
  ASSERT_FALSE(HasFailure());
  DiskWatch disk(store_.root);
  auto second = fault.first == Front::mount ? Front::endpoint : Front::mount;
  expect_misses(fault.first);
  expect_misses(second);

  EXPECT_NE(why(fault.first, 0).find(fault.why), std::string::npos) << why(fault.first, 0);
  if (fault.then == Then::asks_again) {
    EXPECT_NE(why(second, 0).find(fault.why), std::string::npos) << why(second, 0);
  } else {
    EXPECT_EQ(server ? asked(*server) : 1, 1) << "one timeout per outage";
    EXPECT_NE(why(second, 1).find("was not asked for"), std::string::npos) << why(second, 1);
  }
  if (!fault.answers_probes) {
    EXPECT_EQ(breaker() == "closed", fault.then != Then::opens_breaker) << breaker();
  }
  RecordProperty("most_disk_mib", static_cast<int>(disk.most() / kMiB));
  EXPECT_LT(disk.most(), kMostArtifact + kMostUnpacked + 8 * kMiB);
  EXPECT_TRUE(eventually([&] { return disk.now() < 4 * kMiB; })) << disk.now();

  server.reset();
  expect_recovery();
  auto stopped = hitfs("stop", {"--flush", "5s"});
  EXPECT_EQ(in_summary(stopped.output, "failed"), kLookups) << stopped.output;
  EXPECT_EQ(in_summary(stopped.output, "miss"), 0) << stopped.output;
  EXPECT_EQ(in_summary(stopped.output, "hit"), 2) << stopped.output;
}

constexpr const char* kCannot = "could not be pulled";
constexpr auto kAsks = Then::asks_again;
constexpr auto kOpens = Then::opens_breaker;

INSTANTIATE_TEST_SUITE_P(
    Faults, ServerFaultTable,
    ::testing::Values(
        Fault{"Refused", nullptr, kOpens, kCannot},
        Fault{"RefusedAtEndpoint", nullptr, kOpens, kCannot, Front::endpoint},
        Fault{"Silent", [] { return faults::silent(); }, kOpens, kCannot},
        Fault{"SilentAtEndpoint", [] { return faults::silent(); }, kOpens, kCannot, Front::endpoint},
        Fault{"Stalled", [] { return faults::body(1'000'000, 1000, faults::Ending::silence); }, kOpens, kCannot,
              Front::mount, true},
        Fault{"InternalError", [] { return faults::status(500); }, kAsks, "answered 500"},
        Fault{"Overloaded", [] { return faults::status(503, "Retry-After: 10\r\n"); }, Then::pauses,
              "asks for a pause"},
        Fault{"Garbage", [] { return faults::raw(noise(5000, 1)); }, kAsks, kCannot},
        Fault{"BodyCut", [] { return faults::body(1'000'000, 1000, faults::Ending::close); }, kAsks, kCannot},
        Fault{"BodyReset", [] { return faults::body(1'000'000, 1000, faults::Ending::reset); }, kAsks, kCannot},
        Fault{"TenGibibytesAnnounced", [] { return faults::endless_body(size_t{10} << 30); }, kAsks, "over the limit"},
        Fault{"EndlessBody", [] { return faults::endless_chunks(); }, kAsks, kCannot},
        Fault{"Bomb", bombs, kAsks, "was refused"},
        Fault{"StartPage", [] { return faults::always("<html>", "Content-Type: text/html\r\n"); }, kAsks, "text/html"},
        Fault{"SpeaksSsh", [] { return faults::banner("SSH-2.0-OpenSSH_9.2p1\r\n"); }, kAsks, kCannot},
        Fault{"SpeaksTls", [] { return faults::raw(std::string("\x15\x03\x01\x00\x02\x02\x46", 7)); }, kAsks, kCannot}),
    [](const auto& info) { return info.param.name; });

TEST_F(ServerFaultTest, AColdServerDoesNotLookBroken) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  MemoryNxServer empty("", "", "", "", server_port_.number());
  begin();
  ASSERT_FALSE(HasFailure());
  expect_misses(Front::mount);
  expect_misses(Front::endpoint);
  auto stopped = hitfs("stop", {"--flush", "5s"});
  EXPECT_EQ(in_summary(stopped.output, "failed"), 0) << stopped.output;
  EXPECT_EQ(in_summary(stopped.output, "miss"), kLookups) << stopped.output;
}

}  // namespace hitfs::testing
