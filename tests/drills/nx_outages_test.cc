// The real nx while its cache server fails in every way of outages.h: straight, which is what users have without hitfs,
// and below `hitfs run` with nothing configured but the server. Below hitfs every build ends with 0, in bounded time,
// with the right files, and once the server is back the next build has hits.
//
// ctest runs the short form: six of the faults, few tasks, shorter patience, one nx, hitfs alone.
// HITFS_DRILL_LONG=1 runs all of them with 200 tasks and the patience of users, two nx, each of them without hitfs too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>

#include "tests/clients/nx_versions.h"
#include "tests/clients/nx_workspace.h"
#include "tests/drills/outages.h"
#include "tests/support/dns_server.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

bool is_long() {
  const char* wanted = std::getenv("HITFS_DRILL_LONG");
  return wanted != nullptr && std::string(wanted) == "1";
}

const std::vector<std::string> kBuildEverything = {"run-many", "-t", "build", "--parallel=6"};
constexpr size_t kLaterTasks = 3;
constexpr Milliseconds kBuildLimit{240'000};
constexpr Milliseconds kHangs{30'000};  // nx alone is given up then
constexpr Milliseconds kCommandLimit{20'000};
// The short form runs beside other tests, so that it tells a build that is held (an undue wait for uploads lasts a
// minute with CI set) from one that is not; what is promised is measured by the long form, on a machine of its own.
Milliseconds most_until_back() { return Milliseconds(is_long() ? 10'000 : 60'000); }
Milliseconds noise() { return Milliseconds(is_long() ? 1'000 : 40'000); }

Milliseconds budget() { return Milliseconds(is_long() ? 10'000 : 4'000); }

Milliseconds since(Clock::time_point begin) { return std::chrono::duration_cast<Milliseconds>(Clock::now() - begin); }

struct Timed {
  Outcome outcome;
  Milliseconds took{0};
};

Timed timed(const Command& command, Milliseconds limit) {
  const auto begin = Clock::now();
  auto outcome = run(command, limit);
  return {std::move(outcome), since(begin)};
}

double seconds(Milliseconds time) { return static_cast<double>(time.count()) / 1000; }

// "hitfs: endpoint · 2 hit (0 prewarmed) 5 miss · ... · 0.2 s" as numbers by their words.
int64_t in_summary(const std::string& output, const std::string& word) {
  std::smatch found;
  std::regex pattern("hitfs: [a-z]+ · .*?(\\d+) " + word);
  return std::regex_search(output, found, pattern) ? std::stoll(found[1]) : -1;
}

std::string time_lost(const std::string& output) {
  std::smatch found;
  return std::regex_search(output, found, std::regex("hitfs: endpoint · .* · ([^·\\n]+)\\n")) ? found[1].str() : "?";
}

// As on a machine that has built nothing so far.
void forget(const NxWorkspace& workspace) {
  fs::remove_all(workspace.dist());
  fs::remove_all(workspace.folder() / ".nx");
}

Command straight_to(const std::string& url, const NxWorkspace& workspace) {
  Command command = workspace.nx(kBuildEverything);
  command.environment["NX_SELF_HOSTED_REMOTE_CACHE_SERVER"] = url;
  return command;
}

int64_t daemon_pid(const fs::path& store) {
  auto status = run(hitfs({"status", "--json", "--store", store}, store.parent_path()), kCommandLimit);
  return last_json(status.output)["supervisor"]["daemon"]["pid"].integer_or(-1);
}

// What is the same for all faults of one nx.
struct Prepared {
  Prepared(const fs::path& folder, const fs::path& modules)
      : work(folder / "work", modules, is_long() ? 200 : 12), later(folder / "later", modules, kLaterTasks) {
    for (const auto& project : fs::directory_iterator(later.folder() / "packages")) {
      std::ofstream(project.path() / "src/source.txt") << "another hash\n";
    }
  }
  NxWorkspace work;
  NxWorkspace later;             // what is built after the outage
  Artifacts artifacts, of_both;  // what a server has of work, and of work and later
  std::map<std::string, std::string> outputs;
  Milliseconds plain_took{0};
};

}  // namespace

class NxOutagesTest : public ::testing::TestWithParam<std::tuple<std::string, OutageKind>> {
 protected:
  static void TearDownTestSuite() { prepared().clear(); }
  void SetUp() override;

  static const std::string& version() { return std::get<0>(GetParam()); }
  static const OutageKind& kind() { return std::get<1>(GetParam()); }
  // Links become files and folders in artifacts of nx 20.8, which follows them.
  [[nodiscard]] static Links links() { return version().starts_with("20.") ? Links::follow : Links::keep; }

  static std::map<std::string, std::unique_ptr<Prepared>>& prepared() {
    static std::map<std::string, std::unique_ptr<Prepared>> by_version;
    return by_version;
  }
  void prepare(const fs::path& modules);
  // What every build is measured against.
  void build_without_cache();
  // A build step of CI: mode, patience and waiting for uploads are what users have, but short in the short form.
  Command below_hitfs(Command inner, const Outage& outage) const;
  Timed build_under(const Outage& outage);
  void expect_told();
  std::string nx_alone(const Outage& outage);
  Milliseconds expect_recovery(Outage& outage);
  void expect_later_hits(const Outage& outage);
  void print(const Timed& built, uint64_t met, Milliseconds back, const std::string& alone);

  Prepared* now_ = nullptr;
  TempDir folder_;
  Enclosure enclosure_{folder_.path()};
  const fs::path store_ = folder_ / "machine/store";
};

void NxOutagesTest::SetUp() {
  const auto modules = nx_modules(version());
  HITFS_NEEDS(modules, "nx " + version(), "scripts/test-tools.sh");
  HITFS_NEEDS(find_tool("node", "HITFS_TEST_NODE"), "node", "apt-get install nodejs");
  if (kind().needs_dns && !DnsServer::possible()) GTEST_SKIP() << "a name server needs root and mount namespaces";
  fs::create_directories(folder_ / "server");
  fs::create_directories(store_.parent_path());
  prepare(*modules);
}

void NxOutagesTest::prepare(const fs::path& modules) {
  static const TempDir folder;
  auto& mine = prepared()[version()];
  const bool is_new = !mine;
  if (is_new) mine = std::make_unique<Prepared>(folder / version(), modules);
  now_ = mine.get();
  if (is_new) {
    MemoryNxServer server;
    const auto url = "http://" + server.server().authority();
    for (auto [workspace, seen] : {std::pair(&mine->work, &mine->artifacts), {&mine->later, &mine->of_both}}) {
      const Outcome built = run(straight_to(url, *workspace), kBuildLimit);
      ASSERT_EQ(built.code, 0) << built.output;
      *seen = server.entries();
    }
    ASSERT_EQ(mine->of_both.size(), mine->artifacts.size() + kLaterTasks);
  }
  if (is_new || is_long()) build_without_cache();
}

void NxOutagesTest::build_without_cache() {
  forget(now_->work);
  const Timed plain = timed(now_->work.nx(kBuildEverything), kBuildLimit);
  ASSERT_EQ(plain.outcome.code, 0) << plain.outcome.output;
  now_->plain_took = plain.took;
  now_->outputs = describe_tree(now_->work.dist(), links());
}

Command NxOutagesTest::below_hitfs(Command inner, const Outage& outage) const {
  Command command = below_hitfs_run(store_, std::move(inner));
  command.environment["HITFS_REMOTE"] = "nx+" + outage.url();
  command.environment["CI"] = "true";
  if (!is_long()) {
    command.environment["HITFS_FIRST_BYTE_TIMEOUT"] = "3s";
    command.environment["HITFS_SESSION_BUDGET"] = std::to_string(budget().count()) + "ms";
  }
  return outage.seen_by(std::move(command));
}

Timed NxOutagesTest::build_under(const Outage& outage) {
  forget(now_->work);
  Timed built = timed(below_hitfs(now_->work.nx(kBuildEverything), outage), kBuildLimit);
  const auto& output = built.outcome.output;
  EXPECT_EQ(built.outcome.code, 0) << output;
  const bool some = fs::exists(now_->work.dist());
  EXPECT_TRUE(some && describe_tree(now_->work.dist(), links()) == now_->outputs) << "wrong files\n" << output;
  // A hit prints again what the build had printed.
  EXPECT_EQ(count(output, "\nbuilt "), now_->artifacts.size()) << output;
  EXPECT_EQ(count(output, "[remote cache]") > 0, kind().some_hits) << output;
  if (!kind().some_hits) {
    EXPECT_EQ(in_summary(output, "failed") > 0, kind().pace != Pace::fine) << output;
  }
  const auto may_wait = kind().pace == Pace::slow ? budget() : Milliseconds(0);
  EXPECT_LT(built.took, now_->plain_took + may_wait + noise()) << output;
  return built;
}

// The fault was the one that was meant: hitfs tells it of one of the names that nx asked for.
void NxOutagesTest::expect_told() {
  std::string told;
  for (const auto& [name, bytes] : now_->artifacts) {
    told = run(hitfs({"why", "--store", store_, "nx/" + name}, folder_.path()), kCommandLimit).output;
    if (told.find(kind().why) != std::string::npos) return;
  }
  ADD_FAILURE() << "no name's story has \"" << kind().why << "\", but: " << told;
}

std::string NxOutagesTest::nx_alone(const Outage& outage) {
  if (!is_long()) return "";
  forget(now_->work);
  const Timed alone = timed(outage.seen_by(straight_to(outage.url(), now_->work)), kHangs);
  const auto how = alone.outcome.timed_out ? "HANGS, killed" : "exit " + std::to_string(alone.outcome.code);
  char text[120];
  std::snprintf(text, sizeof(text), " | nx alone: %s after %.1f s, %zu tasks done", how.c_str(), seconds(alone.took),
                count(alone.outcome.output, "\nbuilt "));
  return text;
}

// How long until a build has a hit; each question is a build with a budget of its own.
Milliseconds NxOutagesTest::expect_recovery(Outage& outage) {
  std::string name;
  for (const auto& [each, bytes] : now_->of_both) {
    if (!now_->artifacts.contains(each)) name = each;
  }
  const std::vector<std::string> get = {"get", "--store", store_, "--namespace", "nx", name, folder_ / "got"};
  Command ask = below_hitfs(hitfs(get, folder_.path()), outage);
  ask.environment["HITFS_FLUSH_CI"] = "0s";  // what was built in the outage is uploaded behind it
  const auto pid = daemon_pid(store_);
  const auto begin = Clock::now();
  outage.mend(now_->of_both);
  Outcome asked;
  Milliseconds took{0};
  while (asked.code != 0 && took < kHangs * 2) {
    asked = run(ask, kCommandLimit);
    took = since(begin);
  }
  EXPECT_EQ(asked.code, 0) << asked.output;
  EXPECT_LE(took, most_until_back()) << "until a hit";
  if (is_long()) expect_later_hits(outage);
  EXPECT_EQ(daemon_pid(store_), pid) << "without a restart";
  return took;
}

// The next build of CI, with nx.
void NxOutagesTest::expect_later_hits(const Outage& outage) {
  forget(now_->later);
  const Outcome hits = run(below_hitfs(now_->later.nx(kBuildEverything), outage), kBuildLimit);
  EXPECT_EQ(hits.code, 0) << hits.output;
  EXPECT_EQ(count(hits.output, "[remote cache]"), kLaterTasks) << hits.output;
}

void NxOutagesTest::print(const Timed& built, uint64_t met, Milliseconds back, const std::string& alone) {
  const auto& output = built.outcome.output;
  const size_t hits = count(output, "[remote cache]");
  std::printf(
      "[ drill    ] nx %s | %-23s | hitfs: exit %d after %.1f s, without a cache %.1f s; lost %s; %zu built, %zu hits, "
      "%lld failed; fault met %llu times; back after %.1f s%s\n",
      version().c_str(), kind().name, built.outcome.code, seconds(built.took), seconds(now_->plain_took),
      time_lost(output).c_str(), now_->artifacts.size() - hits, hits,
      static_cast<long long>(in_summary(output, "failed")), static_cast<unsigned long long>(met), seconds(back),
      alone.c_str());
  std::fflush(stdout);
}

TEST_P(NxOutagesTest, BreaksNoBuildHoldsNoneAndPassesByItself) {
  const auto outage = kind().begin(now_->artifacts, folder_ / "server");
  const Timed built = build_under(*outage);
  const auto met = outage->met();
  EXPECT_TRUE(met > 0 || !kind().can_be_met) << "the fault never happened";
  expect_told();
  const std::string alone = nx_alone(*outage);
  const Milliseconds back = expect_recovery(*outage);
  print(built, met, back, alone);
  stop_hitfs(store_, "0s");
}

std::string name_of(const ::testing::TestParamInfo<NxOutagesTest::ParamType>& info) {
  std::string name = std::string(std::get<1>(info.param).name) + "_nx" + std::get<0>(info.param);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

std::vector<std::string> versions() {
  if (is_long()) return {"24.0.6", "20.8.2"};
  return {"24.0.6"};
}

std::vector<OutageKind> kinds() {
  auto kinds = outage_kinds();
  if (!is_long()) std::erase_if(kinds, [](const OutageKind& kind) { return !kind.in_short_form; });
  return kinds;
}

INSTANTIATE_TEST_SUITE_P(Faults, NxOutagesTest,
                         ::testing::Combine(::testing::ValuesIn(versions()), ::testing::ValuesIn(kinds())), name_of);

}  // namespace hitfs::testing
