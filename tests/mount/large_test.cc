// What is large, through real mounts: many entries, many files in one, one file of gigabytes.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <thread>
#include <unordered_map>

#include "store/base/io.h"
#include "store/entry_store.h"
#include "tests/support/machine.h"
#include "tests/support/real_processes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_mount.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace stdfs = std::filesystem;

// 16 hex digits, the first of them `kind`.
std::string name_of(char kind, uint64_t number) {
  std::string digits = std::to_string(number);
  return kind + std::string(15 - digits.size(), '0') + digits;
}

const std::string kContent = "what every entry holds\n";

// Entries of one small file each, straight into a store. All hold the same bytes, so that there is one pack: making and
// removing a file for each entry, its manifest, takes long enough.
void fill(const stdfs::path& root, char kind, uint64_t count) {
  auto store = EntryStore::open(StorePaths{root}, {});
  ASSERT_TRUE(store) << store.error().message;
  std::optional<Digest> digest;
  for (uint64_t i = 0; i < count; ++i) {
    auto intake = (*store)->begin();
    if (!digest) {
      ASSERT_TRUE((*intake->begin_blob(kContent.size()))->write(io::as_bytes(kContent)));
      digest = *intake->end_blob();
    }
    ManifestBuilder tree;
    tree.root_file(0644, 0, kContent.size(), *digest);
    ManifestHeader header;
    header.key = *Key::make("", "flat", name_of(kind, i));
    header.kind = EntryKind::file;
    ASSERT_TRUE(intake->commit(tree, std::move(header), {}));
  }
}

// Every name of a folder and how often it was shown.
std::unordered_map<std::string, int> listed(const stdfs::path& folder) {
  std::unordered_map<std::string, int> names;
  DIR* stream = ::opendir(folder.c_str());
  if (stream == nullptr) return names;
  while (const dirent* entry = ::readdir(stream)) ++names[entry->d_name];
  ::closedir(stream);
  return names;
}

// Names that come and go beside those that stay, until told to stop: entries are saved and deleted, local names made.
void churn(const stdfs::path& root, uint64_t leaving, const std::atomic<bool>& stop, std::atomic<uint64_t>& rounds) {
  for (uint64_t round = 0; !stop; ++round, ++rounds) {
    std::ofstream(root / ("local-" + std::to_string(round))) << round;
    stdfs::rename(root / ("local-" + std::to_string(round)), root / name_of('c', round));
    if (round < leaving) stdfs::remove(root / name_of('e', round));
    if (round % 2 == 1) stdfs::remove(root / name_of('c', round - 1));
  }
}

void say(const std::string& what, const std::string& figure) {
  std::cout << "[   SEEN   ] " << what << ": " << figure << "\n";
}

std::string since(std::chrono::steady_clock::time_point began) {
  auto passed = std::chrono::steady_clock::now() - began;
  return std::to_string(std::chrono::duration_cast<Milliseconds>(passed).count()) + " ms";
}

class LargeMountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  }

  TempDir folder_;
};

// With the program, and all that it starts.
class LargeEntryTest : public LargeMountTest {
 protected:
  Enclosure enclosure_{folder_.path()};
};

TEST_F(LargeMountTest, AHundredThousandEntriesAreListedInLittleMemory) {
  constexpr uint64_t kStay = 100'000, kLeave = 300;
  auto began = std::chrono::steady_clock::now();
  fill(folder_ / "store", 'a', kStay);
  fill(folder_ / "store", 'e', kLeave);
  say("filling the store", since(began));
  DaemonProcess daemon(folder_ / "store");
  ASSERT_TRUE(daemon.ready());
  TestMount mount(real_worker(folder_ / "store"));
  ASSERT_EQ(mount.failure(), "");
  const uint64_t before = memory_of(mount.worker(), "VmHWM");

  std::atomic<bool> stop = false;
  std::atomic<uint64_t> rounds = 0;
  std::jthread churning([&] { churn(mount.root(), kLeave, stop, rounds); });
  for (int pass = 0; pass < 3; ++pass) {
    const uint64_t rounds_before = rounds;
    began = std::chrono::steady_clock::now();
    const auto names = listed(mount.root());
    say("a listing while " + std::to_string(rounds - rounds_before) + " names came and went", since(began));
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < kStay; ++i) {
      const auto found = names.find(name_of('a', i));
      wrong += found == names.end() || found->second != 1;
    }
    EXPECT_EQ(wrong, 0u) << "names that stay, not shown exactly once";
    EXPECT_GT(rounds, rounds_before) << "nothing came or went";
  }
  stop = true;
  churning.join();

  const uint64_t grown = memory_of(mount.worker(), "VmHWM") - before;
  say("worker, most memory", std::to_string(before + grown) + " KiB, " + std::to_string(grown) + " of it for this");
  EXPECT_LT(grown, 16u << 10) << "a listing must stream";
  EXPECT_EQ(stdfs::file_size(mount / name_of('a', kStay - 1)), kContent.size());
}

TEST_F(LargeEntryTest, TwentyThousandFilesTravelToAnotherMachine) {
  const TeamServer server(folder_ / "server");
  const auto output = folder_ / "output";
  for (int group = 0; group < 200; ++group) {
    const auto folder = output / ("group " + std::to_string(group));
    stdfs::create_directories(folder);
    for (int i = 0; i < 100; ++i) {
      std::ofstream(folder / std::to_string(i)) << "file " << i << " of " << group << std::string(i * 10, '.');
    }
  }
  const auto expected = describe_tree(output);
  ASSERT_EQ(expected.size(), 20'200u);
  const std::string name = name_of('a', 1);
  {
    const Machine a(folder_ / "a", server);
    ASSERT_EQ(a.mount().code, 0);
    auto began = std::chrono::steady_clock::now();
    stdfs::copy(output, a / "saving", stdfs::copy_options::recursive);
    stdfs::rename(a / "saving", a / name);
    say("20,000 files saved", since(began));
    ASSERT_TRUE(a.holds(1));
    const Outcome flushed = a.hitfs({"flush", "--flush", "120s", "--flush-ci", "120s"});
    ASSERT_EQ(flushed.code, 0) << flushed.output;
    say("and on the server", since(began));
    EXPECT_EQ(describe_tree(a / name), expected);
  }
  stdfs::rename(folder_ / "a", folder_ / "away");
  const Machine b(folder_ / "b", server);
  ASSERT_EQ(b.mount().code, 0);
  auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(b.appears(name)) << b.hitfs({"why", name}).output;
  say("here on the other machine", since(began));
  EXPECT_EQ(describe_tree(b / name), expected);
}

TEST_F(LargeEntryTest, AFileOfFiveGibibytesIsSavedAndRead) {
  constexpr off_t kSize = off_t{5} << 30;
  // Around the borders of 31 and 32 bits, in the middle of nowhere, and the last bytes.
  const std::vector<off_t> places = {0, (off_t{1} << 31) - 4, (off_t{1} << 32) - 4, off_t{3} << 30, kSize - 8};
  const std::string name = name_of('b', 5);
  auto is_whole = [&](const stdfs::path& path) {
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file || stdfs::file_size(path) != static_cast<uintmax_t>(kSize)) return false;
    for (size_t i = 0; i < places.size(); ++i) {
      char text[9] = {};
      if (::pread(file.get(), text, 8, places[i]) != 8 ||
          text != "place " + std::string(1, static_cast<char>('0' + i)) + "!")
        return false;
    }
    char hole[4096];
    return ::pread(file.get(), hole, sizeof(hole), (off_t{2} << 30) + 12345) == sizeof(hole) &&
           std::count(hole, hole + sizeof(hole), '\0') == sizeof(hole);
  };
  const Machine machine(folder_ / "machine");
  ASSERT_EQ(machine.mount().code, 0);
  auto began = std::chrono::steady_clock::now();
  {
    UniqueFd file(::open((machine / "saving").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(file);
    ASSERT_EQ(::ftruncate(file.get(), kSize), 0);
    for (size_t i = 0; i < places.size(); ++i) {
      const std::string text = "place " + std::to_string(i) + "!";
      ASSERT_EQ(::pwrite(file.get(), text.data(), text.size(), places[i]), 8);
    }
  }
  stdfs::rename(machine / "saving", machine / name);
  EXPECT_TRUE(is_whole(machine / name)) << "while it is staged";
  ASSERT_TRUE(machine.holds(1));
  say("5 GiB saved and committed", since(began));
  EXPECT_TRUE(is_whole(machine / name)) << "after the commit";
  ASSERT_EQ(machine.unmount().code, 0);
  ASSERT_EQ(machine.mount().code, 0);
  EXPECT_TRUE(is_whole(machine / name)) << "in the next mount";
  const Outcome verified = machine.hitfs({"verify", "flat/" + name});
  EXPECT_EQ(verified.code, 0) << verified.output;
}

}  // namespace
}  // namespace hitfs::testing
