// Each operation of the store is recorded once, system call by system call. Then it is stopped after each of them, by a
// kill and by power cuts of several kinds: the folder is made as the crash leaves it, opened, and looked at.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "store/base/log.h"
#include "tests/drills/crash/crash_bench.h"
#include "tests/drills/crash/disk_image.h"
#include "tests/store/store_helpers.h"

namespace hitfs::testing {

namespace {

constexpr size_t kMostFindings = 4;

bool is_long() { return std::getenv("HITFS_DRILL_LONG") != nullptr; }

// Where in the recording a crash is.
enum class Progress { before, during, acknowledged };

struct CrashPoint {
  size_t number = 0;  // of the last event that happened
  Progress progress = Progress::before;
  Loss loss = Loss::nothing;
  unsigned seed = 0;
};

struct Tally {
  size_t points = 0, kills = 0, half_writes = 0, power_cuts = 0, strays = 0;
};

}  // namespace

class CrashPointsTest : public ::testing::TestWithParam<size_t> {
 protected:
  static void SetUpTestSuite() { log::set_level(log::Level::off); }
  static void TearDownTestSuite() { log::set_level(log::Level::info); }

  CrashPointsTest() : operation_(crash_operations()[GetParam()]) {
    keys_ = operation_.keys;
    keys_.push_back(flat("base"));
  }

  void prepare() {
    CrashBench bench(paths_, "boot 1", remote_);
    CommitOptions durable;
    durable.durable = true;
    ASSERT_TRUE(put_tree(bench.store(), flat("base"), {{"1", "base"}, {"2", bytes_of(70'000, 50)}}, durable));
    auto prepared = operation_.prepare(bench);
    ASSERT_TRUE(prepared) << why(prepared);
    ASSERT_TRUE(bench.store().flush());
  }

  // The store in which the operation begins, and what is seen before and after it; the events of it, with its opening
  // and closing.
  void record() {
    std::filesystem::create_directories(paths_.root);
    if (!operation_.from_nothing) prepare();
    image_ = std::make_unique<DiskImage>(paths_.root);
    DiskRecorder recorder(paths_.root.string());
    {
      CrashBench bench(paths_, "boot 1", remote_);
      before_ = look_at(bench.store(), keys_);
      recorder.mark("begin");
      auto ran = operation_.run(bench);
      recorder.mark("acknowledged");
      ASSERT_TRUE(ran) << why(ran);
      after_ = look_at(bench.store(), keys_);
    }
    events_ = recorder.take();
    bool changes = before_.entries != after_.entries || before_.pushes != after_.pushes ||
                   before_.trouble != after_.trouble || keys_.size() == 1;
    EXPECT_TRUE(changes) << "the operation does nothing";
    check_seam(recorder);
  }

  // Nothing changes the store beside the seam.
  void check_seam(const DiskRecorder& recorder) {
    size_t through = 0;
    for (const auto& [name, count] : recorder.outside()) {
      ADD_FAILURE() << count << " changes of " << name << " beside the seam";
    }
    for (const auto& [op, count] : recorder.steps()) through += count;
    EXPECT_GT(through, 3u);
    steps_ = through;
  }

  // Stops after every event.
  void sweep() {
    auto progress = Progress::before;
    unsigned turn = 0;
    check({0, progress, Loss::nothing, 0}, *image_);
    for (size_t i = 0; i < events_.size() && findings_ < kMostFindings; ++i) {
      if (!events_[i].mark.empty()) {
        progress = events_[i].mark == "begin" ? Progress::during : Progress::acknowledged;
        continue;
      }
      stop_inside(i, progress, turn);
      image_->apply(events_[i]);
      ++tally_.points;
      // Hundreds of folders that are made one like the other.
      bool alike = events_[i].call.kind == DiskCall::Kind::make_folder && tally_.points % 64 != 0;
      if (is_long() || !alike) stop_after(i, progress, turn++);
    }
  }

  void stop_inside(size_t number, Progress progress, unsigned turn) {
    const auto& event = events_[number];
    if (event.bytes.size() < 2 || (!is_long() && turn % 8 != 0)) return;
    auto half = *image_;
    auto part = event;
    part.bytes.resize(part.bytes.size() / 2);
    half.apply(part);
    ++tally_.half_writes;
    check({number, progress, Loss::nothing, 0}, half);
  }

  void stop_after(size_t number, Progress progress, unsigned turn) {
    if (is_long() || turn % 2 == 0) {
      ++tally_.kills;
      check({number, progress, Loss::nothing, 0}, *image_);
    }
    // The short form takes the kinds of power cuts in turns.
    unsigned kind = 0;
    for (auto loss : kPowerCuts) {
      if (!is_long() && (turn % 2 == 0 || kind++ != turn / 2 % std::size(kPowerCuts))) continue;
      unsigned seeds = loss == Loss::some_bytes && is_long() ? 4 : 1;
      for (unsigned seed = 0; seed < seeds; ++seed) {
        ++tally_.power_cuts;
        check({number, progress, loss, static_cast<unsigned>(number) * 16 + seed}, *image_);
      }
    }
  }

  void check(const CrashPoint& point, const DiskImage& image) {
    image.write_to(crashed_.root, point.loss, point.seed);
    std::vector<std::string> found;
    try {
      found = look_and_repeat(point);
    } catch (const std::exception& error) {
      found.push_back(error.what());
    }
    if (found.empty() || findings_ >= kMostFindings) return;
    ++findings_;
    std::string text;
    for (const auto& one : found) text += "\n  " + one;
    ADD_FAILURE() << operation_.name << ", " << to_string(point.loss) << " at event " << point.number << " ("
                  << describe(events_[point.number]) << ")" << text;
  }

  std::vector<std::string> look_and_repeat(const CrashPoint& point) {
    std::vector<std::string> found;
    {
      CrashBench bench(crashed_, point.loss == Loss::nothing ? "boot 1" : "boot 2", remote_);
      compare(point, look_at(bench.store(), keys_), "opened", found);
      if (auto checked = bench.store().check_after_reboot({}); !checked) found.push_back(why(checked));
      compare(point, look_at(bench.store(), keys_), "checked", found);
      if (auto again = operation_.run(bench); !again) found.push_back("again: " + why(again));
      compare({point.number, Progress::acknowledged, Loss::nothing, 0}, look_at(bench.store(), keys_), "again", found);
      check_log(bench.store(), point.loss != Loss::nothing, found);
      release_and_verify(bench.store(), found);
    }
    bool ordered = point.loss != Loss::names && point.loss != Loss::all_unordered;
    for (const auto& finding : check_store(crashed_)) {
      if (!ordered && finding.starts_with("stray ")) {
        ++tally_.strays;  // as store/README.md says of file systems without order
      } else {
        found.push_back(finding);
      }
    }
    return found;
  }

  // Old or new, never anything else; new, once it was acknowledged.
  void compare(const CrashPoint& point, const Seen& seen, const std::string& when, std::vector<std::string>& found) {
    bool certain = point.progress == Progress::acknowledged && (point.loss == Loss::nothing || operation_.durable);
    for (const auto& key : keys_) {
      const auto& now = seen.entries.at(key);
      bool is_old = now == before_.entries.at(key), is_new = now == after_.entries.at(key);
      if (operation_.finds_damage && !now && !certain) continue;  // refused to readers, until it is dropped
      if (is_new || (is_old && !certain)) {
        if (point.progress != Progress::before || is_old) continue;
      }
      found.push_back(when + ": " + key.text() + (!now ? " is gone" : is_old ? " is the old one" : " is wrong"));
    }
    bool may_be_old = !certain, may_be_new = point.progress != Progress::before;
    if (!((may_be_old && seen.pushes == before_.pushes) || (may_be_new && seen.pushes == after_.pushes))) {
      found.push_back(when + ": " + std::to_string(seen.pushes) + " pushes");
    }
    if (!seen.trouble.empty() && !operation_.finds_damage) found.push_back(when + ": " + seen.trouble);
  }

  // Explanations may be lost, and with them the order of a file that is never synced; no error comes of it.
  static void check_log(EntryStore& store, bool may_forget, std::vector<std::string>& found) {
    store.access_log().record(flat("after"), AccessKind::stored, "");
    auto history = store.access_log().history(flat("after"), 10);
    if (!history) return found.push_back("log.db: " + why(history));
    if (history->size() != 1 && !may_forget) found.push_back("log.db keeps nothing");
  }

  static void release_and_verify(EntryStore& store, std::vector<std::string>& found) {
    auto retired = store.retired();
    if (!retired) return found.push_back(why(retired));
    for (const auto& entry : *retired) {
      if (auto released = store.release(entry.id); !released) found.push_back(why(released));
    }
    auto report = store.verify({}, {});
    if (!report) return found.push_back(why(report));
    for (const auto& damage : report->damaged) found.push_back("verify: " + damage);
  }

  CrashOperation operation_;
  std::vector<Key> keys_;
  FastTempDir dir_;
  StorePaths paths_{dir_ / "store"};
  StorePaths crashed_{dir_ / "crashed"};
  const std::map<std::string, std::string> remote_ = remote_contents();
  std::unique_ptr<DiskImage> image_;
  std::vector<DiskEvent> events_;
  Seen before_, after_;
  Tally tally_;
  size_t findings_ = 0, steps_ = 0;
};

TEST_P(CrashPointsTest, LeavesTheOldOrTheNew) {
  record();
  ASSERT_FALSE(HasFatalFailure());
  sweep();
  EXPECT_GT(tally_.points, 15u);
  EXPECT_GT(tally_.power_cuts, 10u);
  std::printf(
      "[ drill    ] crash points of \"%s\": %zu system calls in %zu steps of the seam, none beside it; %zu kills, %zu "
      "half writes, %zu power cuts, %zu leftover files without ordered names\n",
      operation_.name.c_str(), tally_.points, steps_, tally_.kills, tally_.half_writes, tally_.power_cuts,
      tally_.strays);
}

INSTANTIATE_TEST_SUITE_P(Operations, CrashPointsTest, ::testing::Range<size_t>(0, crash_operations().size()),
                         [](const auto& info) {
                           auto name = crash_operations()[info.param].name;
                           std::erase_if(name, [](unsigned char c) { return std::isalnum(c) == 0; });
                           return name;
                         });

}  // namespace hitfs::testing
