// The random steps of the model as system calls: in a plain folder, so that the model itself is one that this machine's
// own file system agrees with; and in a real mount with its worker, daemon and store.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "store/mount_lock.h"
#include "tests/model/folder_subject.h"
#include "tests/model/model_run.h"
#include "tests/support/real_processes.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr std::chrono::seconds kLimit{60};

// What lies below the subjects of one test; a sequence that is repeated begins with a new one.
class PlainFolder final : public FolderSubject {
 public:
  PlainFolder() : PlainFolder(std::make_unique<TempDir>()) {}

 private:
  explicit PlainFolder(std::unique_ptr<TempDir> folder) : FolderSubject(folder->path()), folder_(std::move(folder)) {}
  std::unique_ptr<TempDir> folder_;
};

struct Machine {
  TempDir work;
  std::filesystem::path store = work / "store";
  DaemonProcess daemon{store};
  // As the supervisor holds it: it tells a daemon that the mount lives, and may have files open, though its worker is
  // dead just now.
  FileLock lock = hold_mount_lock(StorePaths{store}, "test").value();
  std::optional<TestMount> mount;

  Machine() { next_mount(); }
  // A mount ends with the descriptors that are open in it; whoever calls has closed them.
  bool unmount() { return mount->mount().unmount() && mount->wait_for_worker() == 0; }
  void next_mount() {
    mount.reset();
    mount.emplace(real_worker(store), std::chrono::seconds(3600));
  }
};

class MountSubject final : public FolderSubject {
 public:
  MountSubject() : MountSubject(std::make_unique<Machine>()) {}

 private:
  explicit MountSubject(std::unique_ptr<Machine> machine)
      : FolderSubject(machine->mount->root()), machine_(std::move(machine)) {}

  Seen around(const Operation& operation, std::filesystem::path& root) override {
    bool good = machine_->mount->failure().empty();
    switch (operation.act) {
      case Act::restart:
        machine_->mount->kill_worker();
        good = machine_->mount->start_worker();
        break;
      case Act::remount:
        good = settle();
        close_all();
        good = good && machine_->unmount();
        machine_->next_mount();
        root = machine_->mount->root();
        good = good && machine_->mount->failure().empty();
        break;
      case Act::daemon_away:
        good = settle();
        machine_->daemon.end(SIGKILL);
        away_ = true;
        break;
      case Act::daemon_back:
        if (away_) machine_->daemon.start();
        away_ = false;
        good = machine_->daemon.ready() && settle();
        break;
      default: good = settle();
    }
    return good ? Seen{} : Seen::failed(ETIMEDOUT);
  }

  // An fsync of the root gives every finished tree its draft, or its entry; a draft goes when its entry is there.
  bool settle() {
    if (away_) return true;
    if (sync_root() < 0) return false;
    auto until = std::chrono::steady_clock::now() + kLimit;
    while (any_draft()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::yield();
    }
    return true;
  }
  bool any_draft() const {
    for (const auto& file : std::filesystem::directory_iterator(machine_->store / "staging" / "test")) {
      if (file.path().extension() == ".draft") return true;
    }
    return false;
  }

  std::unique_ptr<Machine> machine_;
  bool away_ = false;
};

bool is_entry_name(const std::string& name) {
  return name.size() == 16 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

OperationChooser::Names names() {
  OperationChooser::Names names;
  names.top = {"a", "b", "c", "d", "0123456789abcdef", "fedcba9876543210", "0123456789abcdef.tmp"};
  names.around_every = 40;
  return names;
}

uint64_t number_in(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// HITFS_MODEL_SEED=N repeats one sequence.
void run(const MakePair& make, const OperationChooser::Names& names, uint64_t sequences, size_t length) {
  Tally tally;
  uint64_t first = number_in("HITFS_MODEL_SEED", 1);
  if (std::getenv("HITFS_MODEL_SEED") != nullptr) sequences = 1;
  auto begin = std::chrono::steady_clock::now();
  for (uint64_t seed = first; seed < first + sequences; ++seed) {
    OperationChooser chooser(names, seed);
    auto mismatch = run_chosen(make, chooser, length, 20, tally);
    if (!mismatch) continue;
    ADD_FAILURE() << "HITFS_MODEL_SEED=" << seed << ", after " << mismatch->steps.size() << ": " << mismatch->what;
    FAIL() << "these are enough:\n" << text_of(shrink(make, *std::move(mismatch), std::chrono::seconds(60)));
  }
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::cout << text_of(tally, sequences, took.count());
  EXPECT_GT(tally.succeeded, tally.steps / 3);
  EXPECT_GT(tally.looks, tally.steps / 4);
  // One sequence alone need not have each of them.
  if (names.around.empty() || std::getenv("HITFS_MODEL_SEED") != nullptr) return;
  for (auto act : {Act::restart, Act::remount, Act::daemon_away}) EXPECT_GT(tally.done[act], 0u);
  EXPECT_GT(tally.entries, 0u);
}

bool is_long() { return std::getenv("HITFS_DRILL_LONG") != nullptr; }

}  // namespace

TEST(ModelOfFolderTest, APlainFolderShowsWhatTheModelSays) {
  auto make = [] { return Pair{ModelTree([](const std::string&) { return false; }), std::make_unique<PlainFolder>()}; };
  auto plain = names();
  plain.exchange = false;
  run(make, plain, is_long() ? 100 : 5, 1000);
}

TEST(ModelOfFolderTest, AMountShowsWhatTheModelSays) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  auto make = [] { return Pair{ModelTree(is_entry_name, true), std::make_unique<MountSubject>()}; };
  auto mounted = names();
  mounted.around = {Act::restart, Act::restart,     Act::restart,     Act::settle,
                    Act::remount, Act::daemon_away, Act::daemon_back, Act::daemon_back};
  run(make, mounted, is_long() ? 20 : 2, is_long() ? 1000 : 600);
}

}  // namespace hitfs::testing
