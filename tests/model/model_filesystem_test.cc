// Random steps on a Filesystem and on a model of what fs/README.md promises: whatever happens in between (workers die,
// the mount ends and begins, the daemon is away, entries are pulled, evicted, replaced and freed), each step ends as
// the model says, and everything looks as it says.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "store/base/log.h"
#include "tests/model/filesystem_subject.h"
#include "tests/model/model_run.h"

namespace hitfs::testing {

namespace {

const FilesystemSubject::Trees kRemote = {
    {"00f0", {{"p", "pulled"}, {"q/r", "deeper"}, {"q/s", ""}}},
    {"00f1", {{"", "one file"}}},
    {"0003", {{"p", "of the remote"}}},
};

bool is_entry_name(const std::string& name) {
  return name.size() == 4 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Pair make_pair() {
  Pair pair{ModelTree(is_entry_name), std::make_unique<FilesystemSubject>(kRemote)};
  for (const auto& [name, tree] : kRemote) pair.model.remote_has(name, tree_of(tree));
  return pair;
}

OperationChooser::Names names() {
  OperationChooser::Names names;
  names.entries = {"0001", "0002", "0003", "00f0", "00f1"};
  names.top = {"a", "b", "c", "0001-x"};
  names.top.insert(names.top.end(), names.entries.begin(), names.entries.end());
  names.around = {Act::restart, Act::remount, Act::daemon_away, Act::daemon_back, Act::daemon_back,
                  Act::settle,  Act::settle,  Act::evict,       Act::evict,       Act::arrive,
                  Act::release, Act::release, Act::pass_time};
  return names;
}

uint64_t number_in(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// HITFS_MODEL_SEED=N repeats one sequence; HITFS_DRILL_LONG=1 does millions of steps, HITFS_MODEL_STEPS=N so many.
struct Extent {
  Extent() {
    bool is_long = std::getenv("HITFS_DRILL_LONG") != nullptr;
    sequences = std::getenv("HITFS_MODEL_SEED") != nullptr
                    ? 1
                    : number_in("HITFS_MODEL_STEPS", is_long ? 3'000'000 : 24'000) / kLength;
  }
  static constexpr size_t kLength = 2000;
  uint64_t first = number_in("HITFS_MODEL_SEED", 1);
  uint64_t sequences = 0;
};

}  // namespace

TEST(ModelTest, TheFilesystemShowsWhatTheModelSays) {
  log::set_level(log::Level::error);
  Extent extent;
  Tally tally;
  auto begin = std::chrono::steady_clock::now();
  for (uint64_t seed = extent.first; seed < extent.first + extent.sequences; ++seed) {
    OperationChooser chooser(names(), seed);
    auto mismatch = run_chosen(make_pair, chooser, Extent::kLength, 20, tally);
    if (!mismatch) continue;
    auto length = mismatch->steps.size();
    ADD_FAILURE() << "HITFS_MODEL_SEED=" << seed << ", after " << length << " steps: " << mismatch->what;
    FAIL() << "these are enough:\n" << text_of(shrink(make_pair, *std::move(mismatch), std::chrono::seconds(60)));
  }
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::cout << text_of(tally, extent.sequences, took.count());
  // It has not passed because nothing happened.
  EXPECT_GT(tally.succeeded, tally.steps / 3);
  for (auto act : {Act::create, Act::make_directory, Act::make_symlink, Act::write, Act::rename, Act::unlink,
                   Act::remove_directory, Act::write_open, Act::look_open, Act::restart, Act::remount, Act::evict}) {
    EXPECT_GT(tally.done[act], tally.steps / 1000) << static_cast<int>(act);
  }
  log::set_level(log::Level::info);
}

}  // namespace hitfs::testing
