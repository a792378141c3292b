// The store's disk refuses to be changed, in one place after the other, while a build pulls, stores and reads.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <map>

#include "store/index/sqlite.h"
#include "tests/drills/disk_faults.h"
#include "tests/drills/drill.h"
#include "tests/support/shared_memory.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr Milliseconds kLimit{120'000};
constexpr size_t kLarge = 150'000;  // a blob with a file of its own
constexpr size_t kSmall = 900;      // one in a pack
constexpr const char* kWorkspace = ".nx-22.6.5-0123456789abcdef";

struct Place {
  const char* name;
  const char* files;    // below the store
  bool mount_may_fail;  // a write into the mount may fail as in a plain folder; else it must succeed
  bool put_may_fail;    // a PUT may be refused; else it must be stored
  int puts;             // until it is reached
};

constexpr std::array kPlaces = {
    Place{"intake (pull, PUT, commit)", "/intakes/*", false, true, 1},
    Place{"blobs and packs", "/[cp]a[sc]*/*", false, true, 1},
    Place{"index, transaction", "/index.db-wal", false, true, 1},
    Place{"index, checkpoint", "/index.db", false, true, 400},
    Place{"log.db", "/log.db*", false, false, 1},
    Place{"names.log", "/staging/*/names.log*", true, false, 1},
    Place{"staged files", "/staging/%*/[0-9]*", true, false, 1},
    Place{"scratch of pulls", "/staging/daemon/*", false, false, 1},
    Place{"staged uploads", "/staging/endpoint/*", false, true, 1},
    Place{"private database", "/private/*", false, false, 1},
    Place{"everything", "/*", true, true, 1},
};
constexpr std::array kErrors = {ENOSPC, EROFS, EIO};

std::string text_of(int error) { return error == 0 ? "ok" : ::strerrorname_np(error); }

// What a build in the mount saw: 0 or an errno for each call.
struct Calls {
  int small, large, directory, move, removal, listing;
  bool old_bytes, own_bytes;

  [[nodiscard]] bool all_are(int error) const {
    for (int call : {small, large, directory, move, removal}) {
      if (call != 0 && call != error) return false;
    }
    return listing == 0;
  }
  [[nodiscard]] bool all_succeeded() const { return all_are(0); }
};

int result(int returned) { return returned < 0 ? errno : 0; }

int list(const std::filesystem::path& folder) {
  std::error_code failure;
  for (std::filesystem::directory_iterator it(folder, failure), end; !failure && it != end; it.increment(failure)) {
  }
  return failure.value();
}

}  // namespace

class DiskTableTest : public Drill {
 protected:
  struct Cell {
    const Place& place;
    int error;
    int64_t after;  // calls that succeed first
    int number;     // of the names it uses: number * 10 and what follows
  };

  std::optional<std::string> begin() {
    if (auto why = why_no_mount()) return why;
    environment_ = faults_.environment();
    start({"--remote", server_.url()});
    flat_ = mount("flat");
    nx_ = mount("builds", {"--layout", "nx"});
    EXPECT_EQ(look(nx_ / kWorkspace), 0);
    write_file(flat_ / "local", "of this machine");
    save(flat_ / flat_name(1), noise(kLarge, 1));
    saved_[1] = noise(kLarge, 1);
    EXPECT_EQ(put(nx_name(1), nx_artifact()).status, 200);
    stored_[1] = nx_artifact();
    EXPECT_EQ(hitfs("flush").code, 0);
    return std::nullopt;
  }

  void run(const Cell& cell);
  void seed_for(const Cell& cell);
  Calls build_in_mount(const Cell& cell);
  // What PUTs were answered: the worst of them.
  int put_until_reached(const Cell& cell);
  std::string pull_by_endpoint(const Cell& cell);
  std::string pull_by_mount(const Cell& cell);
  // Waits until all works again.
  void expect_recovery(const Cell& cell);
  void expect_what_was_acknowledged();
  // What one trouble says is said at most once a second; so it has to happen again. Always true.
  bool fail_once_more(const Cell& cell);
  // Since then.
  bool status_names(int error, int64_t since_ms);
  int restarts();
  // Rows of nx's shared database: none may be without its files, and `wanted` becomes one.
  void expect_rows(const std::string& wanted);

  DiskFaults faults_{folder_.path()};
  MemoryNxServer server_;
  std::filesystem::path flat_, nx_;
  std::map<int, std::string> saved_, stored_;  // acknowledged: in the mount, by the endpoint
  int extra_ = 0, cells_ = 0, restarts_ = 0;
  uint64_t injected_ = 0;
};

void DiskTableTest::seed_for(const Cell& cell) {
  for (int i : {2, 3}) {
    seed(server_, "nx", nx_name(cell.number * 10 + i), opaque_artifact(i == 2 ? kLarge : kSmall, 2));
    seed(server_, "flat", flat_name(cell.number * 10 + i), opaque_artifact(i == 2 ? kLarge : kSmall, 2));
  }
}

Calls DiskTableTest::build_in_mount(const Cell& cell) {
  SharedMemory<Calls> seen;
  const int first = cell.number * 10;
  const auto large = noise(kLarge, static_cast<unsigned>(first)), small = noise(kSmall, static_cast<unsigned>(first));
  TestProcess build([&] {
    auto folder = flat_ / ("folder" + std::to_string(first));
    seen->large = try_to_save(flat_ / flat_name(first), large);
    seen->small = try_to_save(flat_ / flat_name(first + 1), small);
    seen->directory = result(::mkdir(folder.c_str(), 0755));
    seen->move = seen->directory == 0 ? result(::rename(folder.c_str(), (folder.string() + "b").c_str())) : 0;
    auto beside = flat_ / (flat_name(first) + ".tmp");
    seen->removal = ::access(beside.c_str(), F_OK) == 0 ? result(::unlink(beside.c_str())) : 0;
    seen->listing = list(flat_);
    seen->old_bytes = read_file(flat_ / flat_name(1)) == noise(kLarge, 1) &&
                      read_file(flat_ / "local") == std::string("of this machine");
    seen->own_bytes = (seen->large != 0 || read_file(flat_ / flat_name(first)) == large) &&
                      (seen->small != 0 || read_file(flat_ / flat_name(first + 1)) == small);
    return 0;
  });
  EXPECT_EQ(build.wait(kLimit), 0) << cell.place.name << ": the build in the mount hangs";
  if (seen->large == 0) saved_[first] = large;
  if (seen->small == 0) saved_[first + 1] = small;
  return *seen;
}

int DiskTableTest::put_until_reached(const Cell& cell) {
  // One that becomes a tree, for the databases of the other mount.
  const int tree = cell.number * 10 + 8;
  int worst = put(nx_name(tree), nx_artifact()).status;
  if (worst == 200) stored_[tree] = nx_artifact();
  for (int i = 0; i < cell.place.puts && (i == 0 || faults_.injected() == 0); ++i) {
    const int name = i == 0 ? cell.number * 10 + 4 : 1'000'000 + cell.number * 1000 + i;
    const auto bytes = opaque_artifact(i % 2 == 0 ? kLarge : kSmall, static_cast<unsigned>(name));
    const int status = put(nx_name(name), bytes).status;
    if (status == 200) stored_[name] = bytes;
    if (status != 200) worst = status;
  }
  return worst;
}

// "hit", "miss", or what is wrong with it.
std::string DiskTableTest::pull_by_endpoint(const Cell& cell) {
  std::string all;
  for (int i : {2, 3}) {
    auto reply = get(nx_name(cell.number * 10 + i));
    bool right = reply.status == 200 && reply.body == opaque_artifact(i == 2 ? kLarge : kSmall, 2);
    std::string one = right ? "hit" : reply.status == 404 ? "miss" : "WRONG " + std::to_string(reply.status);
    all = all.empty() || all == one ? one : all + "+" + one;
  }
  return all;
}

std::string DiskTableTest::pull_by_mount(const Cell& cell) {
  std::string all;
  for (int i : {2, 3}) {
    auto place = flat_ / flat_name(cell.number * 10 + i);
    TestProcess build([&] {
      struct stat info {};
      if (::stat(place.c_str(), &info) < 0) return errno;
      return read_file(place) == opaque_artifact(i == 2 ? kLarge : kSmall, 2) ? 0 : EBADMSG;
    });
    int seen = build.wait(kLimit).value_or(ETIMEDOUT);
    std::string one = seen == 0 ? "hit" : seen == ENOENT ? "miss" : "WRONG " + text_of(seen);
    all = all.empty() || all == one ? one : all + "+" + one;
  }
  return all;
}

bool DiskTableTest::fail_once_more(const Cell& cell) {
  const int name = 2'000'000 + ++extra_;
  if (put(nx_name(name), nx_artifact()).status == 200) stored_[name] = nx_artifact();
  if (cell.place.mount_may_fail && try_to_save(flat_ / flat_name(name), "more") == 0) saved_[name] = "more";
  [[maybe_unused]] const auto pulled = get(nx_name(3'000'000 + extra_)).status;
  return true;
}

bool DiskTableTest::status_names(int error, int64_t since_ms) {
  // SQLite has its own words for what the disk said.
  const std::vector<std::string> words = {std::strerror(error), "disk I/O error", "disk is full", "readonly database",
                                          "unable to open database"};
  const auto all = status();
  auto names = [&](const Json& process) {
    const auto& trouble = process["disk_trouble"];
    const auto text = trouble["text"].text_or("");
    return trouble["time_ms"].integer_or(0) >= since_ms &&
           std::any_of(words.begin(), words.end(), [&](const auto& word) { return text.find(word) != text.npos; });
  };
  const auto& supervisor = all["supervisor"];
  const auto& mounts = supervisor["mounts"].items();
  const bool named = names(supervisor["daemon"]) || names(supervisor["listener"]) ||
                     std::any_of(mounts.begin(), mounts.end(), [&](const auto& one) { return names(one["worker"]); });
  return named && hitfs("status").output.find("\ndisk  ") != std::string::npos;
}

int DiskTableTest::restarts() {
  const auto all = status();
  int64_t sum =
      all["supervisor"]["daemon"]["restarts"].integer_or(99) + all["supervisor"]["listener"]["restarts"].integer_or(99);
  for (const auto& mount : all["supervisor"]["mounts"].items()) sum += mount["worker"]["restarts"].integer_or(99);
  return static_cast<int>(sum);
}

void DiskTableTest::expect_rows(const std::string& wanted) {
  std::vector<std::string> rows;
  EXPECT_TRUE(eventually(
      [&] {
        rows.clear();
        EXPECT_EQ(look(nx_ / kWorkspace), 0);
        auto database = sqlite::Database::open(nx_ / "shared.db", sqlite::Access::read_write, kLimit);
        if (!database) return false;
        auto query = (*database)->query("SELECT hash FROM cache_outputs");
        while (query.next().value()) rows.push_back(query.text(0));
        return std::find(rows.begin(), rows.end(), wanted) != rows.end();
      },
      kLimit))
      << wanted << " has no row";
  for (const auto& row : rows) EXPECT_EQ(look(nx_ / row), 0) << "a row without files: " << row;
}

void DiskTableTest::expect_recovery(const Cell& cell) {
  const int first = cell.number * 10;
  EXPECT_TRUE(eventually([&] { return put(nx_name(first + 5), nx_artifact()).status == 200; }, kLimit));
  EXPECT_EQ(get(nx_name(first + 5)).body, nx_artifact());
  EXPECT_NE(why("nx/" + nx_name(first + 5)).find("stored"), std::string::npos) << why("nx/" + nx_name(first + 5));
  EXPECT_EQ(try_to_save(flat_ / flat_name(first + 6), "room again"), 0);
  EXPECT_EQ(read_file(flat_ / flat_name(first + 6)), "room again");
  stored_[first + 5] = nx_artifact();
  saved_[first + 6] = "room again";
  seed(server_, "nx", nx_name(first + 7), opaque_artifact(kSmall, 2));
  seed(server_, "flat", flat_name(first + 7), opaque_artifact(kSmall, 2));
  EXPECT_TRUE(eventually([&] { return get(nx_name(first + 7)).body == opaque_artifact(kSmall, 2); }, kLimit));
  EXPECT_TRUE(eventually([&] { return look(flat_ / flat_name(first + 7)) == 0; }, kLimit));
  EXPECT_EQ(read_file(flat_ / flat_name(first + 7)), opaque_artifact(kSmall, 2));
  expect_rows(nx_name(first + 5));
  if (stored_.contains(first + 8)) expect_rows(nx_name(first + 8));
}

void DiskTableTest::expect_what_was_acknowledged() {
  for (const auto& [number, bytes] : saved_) {
    EXPECT_TRUE(read_file(flat_ / flat_name(number)) == bytes) << "saved " << number;
  }
  for (const auto& [number, bytes] : stored_) EXPECT_TRUE(get(nx_name(number)).body == bytes) << "stored " << number;
}

void DiskTableTest::run(const Cell& cell) {
  SCOPED_TRACE(std::string(cell.place.name) + ", " + text_of(cell.error) + " after " + std::to_string(cell.after));
  seed_for(cell);
  const auto begin_ms = system_clock().unix_ms();
  faults_.begin(cell.error, store_.root.string() + cell.place.files, cell.after);
  const auto calls = build_in_mount(cell);
  const auto by_endpoint = pull_by_endpoint(cell);
  const auto by_mount = pull_by_mount(cell);
  const int put = put_until_reached(cell);
  const bool old_entry = get(nx_name(1)).body == nx_artifact();
  // Rows, records and uses are written a moment later, by themselves.
  EXPECT_TRUE(eventually([&] { return faults_.injected() > 0 || cell.after > 0; }, kLimit)) << "never reached";
  const auto injected = faults_.injected();
  const bool named = eventually([&] { return fail_once_more(cell) && status_names(cell.error, begin_ms); }, kLimit);
  faults_.end();

  EXPECT_TRUE(calls.all_are(cell.error)) << calls.large << calls.small << calls.directory << calls.move << calls.removal
                                         << calls.listing;
  EXPECT_TRUE(calls.all_succeeded() || cell.place.mount_may_fail);
  EXPECT_TRUE(calls.old_bytes && calls.own_bytes && old_entry);
  EXPECT_TRUE(put == 200 || (put == 403 && cell.place.put_may_fail)) << put;
  for (const auto& pull : {by_endpoint, by_mount}) EXPECT_EQ(pull.find("WRONG"), std::string::npos) << pull;
  EXPECT_TRUE(named) << hitfs("status").output;
  expect_recovery(cell);
  ++cells_;
  injected_ += injected;
  const int restarted = restarts() - restarts_;
  restarts_ += restarted;
  printf(
      "[ drill    ] %-27s %-6s after %2lld | save %-6s %-6s mkdir %-6s | PUT %d | pulls %s, %s | %llu calls failed | "
      "%d restarts, %.1f s\n",
      cell.place.name, text_of(cell.error).c_str(), static_cast<long long>(cell.after), text_of(calls.large).c_str(),
      text_of(calls.small).c_str(), text_of(calls.directory).c_str(), put, by_endpoint.c_str(), by_mount.c_str(),
      static_cast<unsigned long long>(injected), restarted,
      static_cast<double>(system_clock().unix_ms() - begin_ms) / 1000);
  fflush(stdout);
}

TEST_F(DiskTableTest, WhereverTheDiskRefusesABuildSeesOnlyItsOwnErrorsAndNothingIsLost) {
  if (auto why = begin()) GTEST_SKIP() << *why;
  ASSERT_FALSE(HasFailure());
  const char* wanted = std::getenv("HITFS_DRILL_LONG");
  const int64_t most = wanted != nullptr ? 8 : 0;
  int number = 10;
  for (size_t place = 0; place < kPlaces.size(); ++place) {
    for (size_t error = 0; error < kErrors.size(); ++error) {
      // The short form has one error for each place, in turn.
      if (wanted == nullptr && error != place % kErrors.size()) continue;
      for (int64_t after = 0; after <= most; ++after) run({kPlaces[place], kErrors[error], after, number++});
    }
  }
  expect_what_was_acknowledged();
  auto verified = hitfs("verify");
  EXPECT_EQ(verified.code, 0) << verified.output;
  printf(
      "[ drill    ] %d cells, %llu calls failed on purpose, %d restarts; %zu saves and %zu PUTs acknowledged, all "
      "there\n",
      cells_, static_cast<unsigned long long>(injected_), restarts_, saved_.size(), stored_.size());
}

}  // namespace hitfs::testing
