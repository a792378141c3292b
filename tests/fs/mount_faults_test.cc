// A disk that refuses: what the program sees is an error at most, what others see is as before, and nothing that was
// answered is lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "fs/numbers.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "tests/fs/mount_harness.h"

namespace hitfs::fs {
namespace {

// Lets step number `fail_at` of those that `what` names fail; a failing write leaves part of its bytes.
class FailingStep final : public io::FaultInjector {
 public:
  explicit FailingStep(int fail_at) : fail_at_(fail_at) { io::install_fault_injector(this); }
  ~FailingStep() override { io::install_fault_injector(nullptr); }
  Status before(const Step& step) override {
    if (step.what != "names.log" && step.what != "staged file" && step.what != "draft") return Ok{};
    if (steps_.fetch_add(1) != fail_at_) return Ok{};
    failed_ = true;
    if (step.op == io::Op::write && step.what != "staged file") {
      auto end = ::lseek(step.fd, 0, SEEK_END);
      EXPECT_EQ(::pwrite(step.fd, "part", 4, end), 4);
    }
    return Error{Code::no_space, "injected"};
  }
  void after(const Step&, bool) override {}
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  const int fail_at_;
  std::atomic<int> steps_{0};
  std::atomic<bool> failed_{false};
};

// A little of everything; each step's answer is kept.
std::vector<bool> story(MountHarness& mount) {
  std::vector<bool> answers;
  auto note = [&](const auto& answer) { answers.push_back(static_cast<bool>(answer)); };
  auto top = mount.make_directory(kRootNumber, "tmp");
  note(top);
  Number directory = top ? top->attributes.number : kRootNumber;
  auto file = mount.create(directory, "file");
  note(file);
  if (file) note(mount.write(file->attributes.number, "bytes"));
  note(mount.create(directory, "empty"));
  note(mount.rename(kRootNumber, "tmp", kRootNumber, "00aa"));
  auto local = mount.create(kRootNumber, "local");
  note(local);
  if (local) note(mount.write(local->attributes.number, "kept"));
  if (local) note(mount.sync_file(local->attributes.number));
  Number committed = mount.number_at("00ff/inner");
  if (committed != 0) note(mount.write(committed, "X"));
  note(mount.unlink(kRootNumber, "00fe"));
  note(mount.sync_directory(kRootNumber));
  return answers;
}

std::vector<std::string> names_of(MountHarness& mount) {
  auto names = mount.list(kRootNumber);
  std::sort(names.begin(), names.end());
  return names;
}

TEST(MountFaultsTest, AnyStepMayFailOnceAndTheMountStaysTrue) {
  log::set_level(log::Level::off);
  for (int step = 0; step < 200; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    MountHarness mount;
    mount.store.commit(MountHarness::key("00ff"), {{"inner", "xyz"}});
    mount.store.commit(MountHarness::key("00fe"), {{"", "to be deleted"}});
    bool failed = false;
    std::vector<bool> answers;
    {
      FailingStep faults(step);
      answers = story(mount);
      failed = faults.failed();
    }
    bool all_good = std::find(answers.begin(), answers.end(), false) == answers.end();
    if (!failed) {
      EXPECT_TRUE(all_good);
      log::set_level(log::Level::info);
      EXPECT_GT(step, 15) << "the story has that many steps at least";
      return;
    }
    // What one worker shows, the next shows as well.
    auto names = names_of(mount);
    auto local = mount.read_at("local");
    auto inner = mount.read_at("00ff/inner");
    ASSERT_TRUE(inner);
    EXPECT_TRUE(*inner == "xyz" || *inner == "Xyz") << *inner;
    mount.restart();
    EXPECT_EQ(names_of(mount), names);
    EXPECT_EQ(*mount.read_at("00ff/inner"), *inner);
    if (local) {
      EXPECT_EQ(*mount.read_at("local"), *local);
    }
    // A tree that was completed becomes an entry all the same, with all its bytes.
    mount.fs().resume_commits();
    mount.wait_until_committed();
    for (const auto& entry : mount.store.visible()) {
      if (entry.key.name != "00aa") continue;
      bool written = answers.size() > 2 && answers[1] && answers[2];
      if (written) {
        EXPECT_EQ(*mount.read_at("00aa/file"), "bytes");
      }
    }
    if (all_good) {
      EXPECT_EQ(*mount.read_at("00aa/file"), "bytes");
      EXPECT_EQ(*mount.read_at("00aa/empty"), "");
      EXPECT_EQ(*mount.read_at("local"), "kept");
      EXPECT_EQ(mount.number_at("00fe"), 0u);
    }
  }
  FAIL() << "the story never ended without a fault";
}

TEST(MountFaultsTest, AFullDiskIsSaidAsSuchAndGoesAwayWithTheCause) {
  class FullDisk final : public io::FaultInjector {
   public:
    FullDisk() { io::install_fault_injector(this); }
    ~FullDisk() override { io::install_fault_injector(nullptr); }
    Status before(const Step& step) override {
      return step.op == io::Op::write ? Status(Error{Code::no_space, "injected"}) : Status(Ok{});
    }
    void after(const Step&, bool) override {}
  };
  log::set_level(log::Level::off);
  MountHarness mount;
  Number number = mount.write_file(kRootNumber, "f", "x");
  {
    FullDisk full;
    EXPECT_EQ(mount.create(kRootNumber, "g").error(), FsError::no_space);
    EXPECT_EQ(mount.write(number, "y").error(), FsError::no_space);
    EXPECT_EQ(mount.rename(kRootNumber, "f", kRootNumber, "00aa").error(), FsError::no_space);
    EXPECT_EQ(mount.unlink(kRootNumber, "f").error(), FsError::no_space);
    EXPECT_EQ(mount.lookup(kRootNumber, "g").error(), FsError::not_found);
    EXPECT_EQ(*mount.read_at("f"), "x");
  }
  EXPECT_TRUE(mount.create(kRootNumber, "g"));
  EXPECT_TRUE(mount.unlink(kRootNumber, "f"));
  log::set_level(log::Level::info);
}

TEST(MountFaultsTest, EightThreadsAtOnce) {
  MountHarness mount;
  mount.store.commit(MountHarness::key("00ff"), {{"inner", "shared"}, {"d/deep", "er"}});
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&mount, t] {
      for (int i = 0; i < 60; ++i) {
        char entry[8];
        std::snprintf(entry, sizeof(entry), "%04x", t * 256 + i);
        auto top = mount.make_directory(kRootNumber, std::string("tmp") + entry);
        ASSERT_TRUE(top);
        mount.write_file(top->attributes.number, "file", std::string(100 + i, 'x'));
        ASSERT_TRUE(mount.rename(kRootNumber, std::string("tmp") + entry, kRootNumber, entry));
        EXPECT_EQ(mount.read_at(std::string(entry) + "/file")->size(), 100u + i);
        EXPECT_EQ(*mount.read_at("00ff/inner"), "shared");
        if (i % 10 == 0) {
          EXPECT_GE(mount.list(kRootNumber, 50, true).size(), 1u);
        }
        if (i % 7 == 0) {
          ASSERT_TRUE(mount.lookup(kRootNumber, entry));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  mount.wait_until_committed();
  EXPECT_EQ(mount.store.visible().size(), 8u * 60 + 1);
  EXPECT_EQ(mount.list(kRootNumber).size(), 8u * 60 + 1);
}

}  // namespace
}  // namespace hitfs::fs
