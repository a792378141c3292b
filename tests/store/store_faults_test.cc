// Every step of the store that changes a disk is failed, killed and followed by a power cut, one after the other.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/entry_store.h"
#include "store/push_queue.h"
#include "tests/store/store_helpers.h"

namespace hitfs {
namespace {

using testing::bytes_of;
using testing::check_store;
using testing::FastTempDir;
using testing::Files;
using testing::flat;
using testing::put_blob;
using testing::put_tree;
using testing::read_tree;
using testing::why;

// One thing that is asked of the store, and what a reader may see afterwards.
struct Operation {
  std::string name;
  std::optional<Key> key;       // whose entry it changes
  std::optional<Files> result;  // none: the key is gone
  bool durable = false;
  bool flushes = false;
  std::function<Status(EntryStore&)> run;
};

Operation put(const std::string& key, Files files, bool durable) {
  return {"put " + key, flat(key), files, durable, false, [key, files, durable](EntryStore& store) -> Status {
            CommitOptions options;
            options.durable = durable;
            options.push_to = {"r"};
            auto done = put_tree(store, flat(key), files, options);
            if (!done) return std::move(done).error();
            return Ok{};
          }};
}

Status drop(EntryStore& store, const std::string& key) {
  auto entry = store.reader().find(flat(key));
  if (!entry) return std::move(entry).error();
  if (auto retired = store.retire(entry->id, "test"); !retired) return std::move(retired).error();
  return store.release(entry->id);
}

Status attach(EntryStore& store, const std::string& key) {
  auto entry = store.reader().find(flat(key));
  if (!entry) return std::move(entry).error();
  auto intake = store.begin();
  auto digest = put_blob(*intake, bytes_of(70'000, 77));
  if (!digest) return std::move(digest).error();
  return store.attach_artifact(entry->id, *digest, *intake);
}

Status put_draft(EntryStore& store, const std::filesystem::path& staging, const std::string& key) {
  ManifestBuilder builder;
  builder.root_directory(0755, 1);
  for (uint64_t number : {1, 2}) {
    if (auto added = builder.add_file(0, "f" + std::to_string(number), 0644, 4, 0, StagedNumber{number}); !added) {
      return std::move(added).error();
    }
  }
  ManifestHeader header;
  header.key = flat(key);
  auto bytes = builder.finish(header);
  auto draft = ManifestView::parse(io::as_bytes(bytes));
  CommitOptions options;
  options.durable = true;
  auto done = store.begin()->commit_draft(*draft, staging, options);
  if (!done) return std::move(done).error();
  return Ok{};
}

const Files kStaged{{"f1", "staged small"}, {"f2", bytes_of(90'000, 60)}};

// What every test plays: commits that are durable and not, shared bytes, a replacement, a drop, room, a push.
std::vector<Operation> scenario(const StorePaths& paths) {
  auto shared = bytes_of(80'000, 50);
  std::vector<Operation> operations;
  operations.push_back(put("a", {{"x/1", "one"}, {"x/2", shared}}, true));
  operations.push_back(put("b", {{"1", "one"}, {"own", bytes_of(66'000, 51)}, {"s", "b's"}}, false));
  operations.push_back(put("base", {{"1", "new base"}, {"2", shared}}, true));
  operations.push_back(
      {"attach", std::nullopt, {}, false, false, [](EntryStore& store) { return attach(store, "a"); }});
  operations.push_back({"flush", std::nullopt, {}, false, true, [](EntryStore& store) { return store.flush(); }});
  operations.push_back(
      {"drop", flat("a"), std::nullopt, false, false, [](EntryStore& store) { return drop(store, "a"); }});
  operations.push_back({"draft", flat("d"), kStaged, true, false,
                        [paths](EntryStore& store) { return put_draft(store, paths.staging("m"), "d"); }});
  operations.push_back(put("a", {{"again", shared}}, true));
  operations.push_back({"push", std::nullopt, {}, false, false, [](EntryStore& store) -> Status {
                          auto job = store.push_queue().take("r", PushQueue::Order::oldest_first, 1);
                          if (!job) return std::move(job).error();
                          if (!*job) return Error{Code::not_found, "no job"};
                          return store.push_queue().done(**job);
                        }});
  return operations;
}

// What a reader may see of each key, given what was acknowledged.
class Model {
 public:
  using Allowed = std::vector<std::optional<Files>>;
  Model() { allowed_[flat("base")] = {Files{{"1", "base"}}}; }

  void happened(const Operation& operation, bool acknowledged, bool power_cut_follows) {
    if (operation.flushes && acknowledged) {
      for (auto& [key, files] : pending_) allowed_[key] = {files};
      pending_.clear();
    }
    if (!operation.key) return;
    auto& allowed = allowed_.try_emplace(*operation.key, Allowed{std::nullopt}).first->second;
    if (acknowledged && (operation.durable || !power_cut_follows)) {
      allowed = {operation.result};
      return;
    }
    allowed.push_back(operation.result);
    if (power_cut_follows) allowed.push_back(std::nullopt);
    if (acknowledged) pending_[*operation.key] = operation.result;
  }

  void check(EntryStore& store) const {
    for (const auto& [key, allowed] : allowed_) {
      auto files = read_tree(store.reader(), key);
      std::optional<Files> seen;
      if (files) seen = *files;
      if (!files && files.error().code != Code::not_found) ADD_FAILURE() << key.text() << ": " << why(files);
      EXPECT_NE(std::find(allowed.begin(), allowed.end(), seen), allowed.end())
          << key.text() << " is " << (seen ? "something else" : "gone");
    }
  }

 private:
  std::map<Key, Allowed> allowed_;
  std::map<Key, std::optional<Files>> pending_;  // acknowledged, but only until the power is cut
};

// Counts steps and calls `at` before step `number`; 0 only counts.
class StepInjector : public io::FaultInjector {
 public:
  StepInjector(size_t number, std::function<Status()> at) : number_(number), at_(std::move(at)) {}
  Status before(const Step& step) override {
    ++count_;
    if (count_ != number_) return Ok{};
    reached_ = std::string(io::to_string(step.op)) + " " + std::string(step.what);
    return at_();
  }
  void after(const Step& /*step*/, bool /*succeeded*/) override {}
  [[nodiscard]] bool reached() const { return number_ != 0 && count_ >= number_; }
  [[nodiscard]] const std::string& where() const { return reached_; }

 private:
  size_t number_;
  std::function<Status()> at_;
  size_t count_ = 0;
  std::string reached_;
};

class Installed {
 public:
  explicit Installed(io::FaultInjector& injector) { io::install_fault_injector(&injector); }
  ~Installed() { io::install_fault_injector(nullptr); }
};

// Knows what of the files and names below a folder has reached the disk, and can lose the rest.
class DiskModel final : public StepInjector {
 public:
  explicit DiskModel(size_t number)
      : StepInjector(number, [this]() -> Status {
          lose();
          ::_exit(0);
        }) {}

  void after(const Step& step, bool succeeded) override {
    if (!succeeded) return;
    switch (step.op) {
      case io::Op::create:
      case io::Op::link:
      case io::Op::mkdir: names_.insert(std::string(step.path)); break;
      case io::Op::rename: renamed(std::string(step.path)); break;
      case io::Op::write:
      case io::Op::truncate: dirty_.insert(inode_of(step.fd)); break;
      case io::Op::unlink: names_.erase(std::string(step.path)); break;
      case io::Op::fsync: synced(step); break;
      case io::Op::transaction: break;
    }
  }

 private:
  static ino_t inode_of(int fd) {
    struct stat info {};
    ::fstat(fd, &info);
    return info.st_ino;
  }
  static bool is_directory(int fd) {
    struct stat info {};
    return ::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
  }

  // The seam names the target only; a name that had been synced before stays, with the new bytes or the old.
  void renamed(const std::string& to) { names_.insert(to); }

  void synced(const Step& step) {
    if (!is_directory(step.fd)) {
      dirty_.erase(inode_of(step.fd));
      return;
    }
    if (step.path.empty()) {  // syncfs
      dirty_.clear();
      names_.clear();
      return;
    }
    // Strict for what an acknowledged entry needs. Names in intakes/ come before it in the file system's journal; where
    // a file system keeps no order, a file may be left over, no more (store/README.md).
    std::erase_if(names_, [&](const std::string& name) {
      auto folder = std::filesystem::path(name).parent_path();
      return folder == std::filesystem::path(step.path) || folder == root_ / "intakes";
    });
  }

  void lose() {
    for (const auto& name : names_) {
      struct stat info {};
      if (::lstat(name.c_str(), &info) < 0) continue;
      std::error_code ignored;
      std::filesystem::remove_all(name, ignored);
    }
    for (const auto& root : {root_}) {
      std::error_code ignored;
      for (const auto& item : std::filesystem::recursive_directory_iterator(root, ignored)) {
        struct stat info {};
        if (::lstat(item.path().c_str(), &info) < 0 || !S_ISREG(info.st_mode) || !dirty_.contains(info.st_ino))
          continue;
        ::chmod(item.path().c_str(), 0600);
        if (::truncate(item.path().c_str(), info.st_size / 2) < 0) ::_exit(3);
      }
    }
  }

  std::set<std::string> names_;  // made since their folder was synced
  std::set<ino_t> dirty_;

 public:
  std::filesystem::path root_;
};

class StoreFaultsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { log::set_level(log::Level::off); }
  static void TearDownTestSuite() { log::set_level(log::Level::info); }

  void SetUp() override {
    StorePaths base{dir_ / "base"};
    auto store = EntryStore::open(base, options("boot 1"));
    ASSERT_TRUE(store) << why(store);
    CommitOptions durable;
    durable.durable = true;
    ASSERT_TRUE(put_tree(**store, flat("base"), {{"1", "base"}}, durable));
    std::filesystem::create_directories(base.staging("m"));
    std::ofstream(base.staging("m") / "1") << kStaged.at("f1");
    std::ofstream(base.staging("m") / "2") << kStaged.at("f2");
  }

  static EntryStore::Options options(const std::string& boot) {
    EntryStore::Options options;
    options.boot_id = boot;
    return options;
  }

  StorePaths fresh_copy() {
    StorePaths paths{dir_ / "store"};
    std::filesystem::remove_all(paths.root);
    std::filesystem::copy(dir_ / "base", paths.root, std::filesystem::copy_options::recursive);
    return paths;
  }

  // The check after a fault: open again, see what may be seen, clean up, and find everything in order.
  static void check(const StorePaths& paths, const Model& model, const std::string& boot) {
    auto store = EntryStore::open(paths, options(boot));
    ASSERT_TRUE(store) << why(store);
    model.check(**store);
    auto report = (*store)->check_after_reboot({});
    ASSERT_TRUE(report) << why(report);
    model.check(**store);
    auto retired = (*store)->retired();
    ASSERT_TRUE(retired);
    for (const auto& entry : *retired) EXPECT_TRUE((*store)->release(entry.id));
    model.check(**store);
    // Still a working store.
    EXPECT_TRUE(put_tree(**store, flat("after"), {{"f", "after"}, {"g", bytes_of(70'000, 99)}}));
    store->reset();
    for (const auto& finding : check_store(paths)) ADD_FAILURE() << finding;
  }

  // Runs the scenario in a child that `injector` ends; gives which operations it acknowledged.
  static std::vector<bool> run_in_child(const StorePaths& paths, StepInjector& injector, bool& ran_to_the_end) {
    auto acknowledged_file = paths.root.parent_path() / "acknowledged";
    std::ofstream(acknowledged_file).close();
    pid_t child = ::fork();
    if (child == 0) {
      int acknowledged = ::open(acknowledged_file.c_str(), O_WRONLY | O_APPEND);
      Installed installed(injector);
      auto store = EntryStore::open(paths, options("boot 1"));
      if (!store) ::_exit(2);
      for (const auto& operation : scenario(paths)) {
        bool done = operation.run(**store).has_value();
        if (::write(acknowledged, done ? "1" : "0", 1) != 1) ::_exit(2);
      }
      ::_exit(9);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    EXPECT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9) << WEXITSTATUS(status);
    ran_to_the_end = WEXITSTATUS(status) == 9;
    std::vector<bool> acknowledged;
    auto text = io::read_file(acknowledged_file, 1000);
    for (char c : text.value()) acknowledged.push_back(c == '1');
    return acknowledged;
  }

  static Model model_of(const StorePaths& paths, const std::vector<bool>& acknowledged, bool power_cut) {
    Model model;
    auto operations = scenario(paths);
    for (size_t i = 0; i < operations.size() && i <= acknowledged.size(); ++i) {
      model.happened(operations[i], i < acknowledged.size() && acknowledged[i], power_cut);
    }
    return model;
  }

  FastTempDir dir_;
};

TEST_F(StoreFaultsTest, TheScenarioWorksWithoutFaults) {
  auto paths = fresh_copy();
  StepInjector none(0, []() -> Status { return Ok{}; });
  bool ran_to_the_end = false;
  auto acknowledged = run_in_child(paths, none, ran_to_the_end);
  EXPECT_TRUE(ran_to_the_end);
  EXPECT_EQ(acknowledged, std::vector<bool>(scenario(paths).size(), true));
  check(paths, model_of(paths, acknowledged, false), "boot 1");
}

TEST_F(StoreFaultsTest, AStepThatFailsLeavesTheOldOrTheNew) {
  size_t step = 1;
  for (bool reached = true; reached && !HasFailure(); ++step) {
    auto paths = fresh_copy();
    StepInjector injector(step, []() -> Status { return Error{Code::internal, "injected"}; });
    Model model;
    {
      Installed installed(injector);
      auto store = EntryStore::open(paths, options("boot 1"));
      if (!store) {
        EXPECT_TRUE(injector.reached()) << why(store);
        store = EntryStore::open(paths, options("boot 1"));
      }
      ASSERT_TRUE(store) << why(store);
      for (const auto& operation : scenario(paths)) {
        model.happened(operation, operation.run(**store).has_value(), false);
      }
      model.check(**store);
    }
    check(paths, model, "boot 1");
    reached = injector.reached();
    if (HasFailure()) ADD_FAILURE() << "failing step " << step << ": " << injector.where();
  }
  EXPECT_GT(step, 100u) << "the sweep saw too few steps";
}

TEST_F(StoreFaultsTest, AKillAtAnyStepLosesNothingAcknowledged) {
  size_t step = 1;
  for (bool ran_to_the_end = false; !ran_to_the_end && !HasFailure(); ++step) {
    auto paths = fresh_copy();
    StepInjector injector(step, []() -> Status { ::_exit(0); });
    auto acknowledged = run_in_child(paths, injector, ran_to_the_end);
    check(paths, model_of(paths, acknowledged, false), "boot 1");
    if (HasFailure()) ADD_FAILURE() << "killed at step " << step;
  }
  EXPECT_GT(step, 100u);
}

TEST_F(StoreFaultsTest, APowerCutAtAnyStepLosesNothingDurable) {
  size_t step = 1;
  for (bool ran_to_the_end = false; !ran_to_the_end && !HasFailure(); ++step) {
    auto paths = fresh_copy();
    DiskModel disk(step);
    disk.root_ = paths.root;
    auto acknowledged = run_in_child(paths, disk, ran_to_the_end);
    check(paths, model_of(paths, acknowledged, true), "boot 2");
    if (HasFailure()) ADD_FAILURE() << "power cut at step " << step;
  }
  EXPECT_GT(step, 100u);
}

}  // namespace
}  // namespace hitfs
