// Entries of odd shapes on their way from one machine's mount through a team server into another's.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "tests/support/machine.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_mount.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  EXPECT_TRUE(file.good()) << path;
}

// 100 folders, each in the one before, and a file whose path is as long as an entry may hold (4,095 bytes) less the
// part that stands before it here.
void make_deep(const fs::path& root) {
  fs::create_directory(root);
  fs::path at;
  for (int depth = 0; depth < 100; ++depth) at /= std::string(35, static_cast<char>('a' + depth % 26));
  fs::create_directories(root / at);
  const size_t room = 4095 - (root / at).native().size() - 8;
  write(root / at / std::string(std::min<size_t>(room, 255), 'f'), "at the bottom");
  write(root / at.parent_path() / "beside", "not at the bottom");
}

// Every byte that a name may have, alone and in the middle of a name.
void make_odd_names(const fs::path& root) {
  fs::create_directory(root);
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') continue;
    const std::string one(1, static_cast<char>(byte));
    if (one != ".") write(root / one, "one " + std::to_string(byte));
    write(root / ("a" + one + "b"), "inside " + std::to_string(byte));
  }
  write(root / "...", "three dots");
  write(root / std::string(255, '\xff'), "a long one");
  fs::create_symlink("a\nb", root / "link to\ta line");
}

void make_rewritten(const fs::path& root) {
  fs::create_directory(root);
  write(root / "log", std::string(300'000, 'x'));
  write(root / "log", "short");
  write(root / "cut", std::string(200'000, 'y'));
  fs::resize_file(root / "cut", 70'001);
  write(root / "grown", "z");
  fs::resize_file(root / "grown", 100'000);
}

// name of the entry -> how it is made at a path
const std::map<std::string, void (*)(const fs::path&)> kShapes = {
    {"00000000000000e0", [](const fs::path& path) { fs::create_directory(path); }},
    {"00000000000000e1", [](const fs::path& path) { write(path, ""); }},
    {"00000000000000e2",
     [](const fs::path& path) {
       write(path, "#!/bin/sh\n");
       fs::permissions(path, fs::perms(0755));
     }},
    {"00000000000000e3",
     [](const fs::path& path) {
       fs::create_directories(path / "empty/in empty");
       write(path / "nothing", "");
     }},
    {"00000000000000d0", make_deep},
    {"00000000000000a0", make_odd_names},
    {"00000000000000b0", make_rewritten},
};

// What stands at `path` itself and below it.
std::map<std::string, std::string> describe(const fs::path& folder, const std::string& name) {
  std::map<std::string, std::string> described;
  struct stat status {};
  EXPECT_EQ(::lstat((folder / name).c_str(), &status), 0) << name;
  if (S_ISDIR(status.st_mode)) described = describe_tree(folder / name);
  described["."] = std::to_string(status.st_mode) + " ";
  if (S_ISREG(status.st_mode)) {
    std::ifstream file(folder / name, std::ios::binary);
    described["."] += std::string(std::istreambuf_iterator<char>(file), {});
  }
  return described;
}

class TravelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto why = why_no_mount()) GTEST_SKIP() << *why;
    server_ = std::make_unique<TeamServer>(folder_ / "server");
  }

  TempDir folder_;
  Enclosure enclosure_{folder_.path()};
  std::unique_ptr<TeamServer> server_;
};

TEST_F(TravelTest, EntriesOfEveryShapeArriveAsTheyWere) {
  const fs::path plain = folder_ / "plain";
  fs::create_directory(plain);
  {
    const Machine a(folder_ / "a", *server_);
    ASSERT_EQ(a.mount().code, 0);
    for (const auto& [name, make] : kShapes) {
      make(plain / name);
      make(a / (name + ".tmp"));
      fs::rename(a / (name + ".tmp"), a / name);
      EXPECT_EQ(describe(a.root(), name), describe(plain, name)) << "before the commit";
    }
    ASSERT_TRUE(a.holds(static_cast<int64_t>(kShapes.size())));
    for (const auto& [name, make] : kShapes) {
      EXPECT_EQ(describe(a.root(), name), describe(plain, name)) << "after the commit";
    }
    const Outcome flushed = a.hitfs({"flush"});
    ASSERT_EQ(flushed.code, 0) << flushed.output;
  }
  const Machine b(folder_ / "b", *server_);
  ASSERT_EQ(b.mount().code, 0);
  for (const auto& [name, make] : kShapes) {
    ASSERT_TRUE(b.appears(name)) << b.hitfs({"why", name}).output;
    EXPECT_EQ(describe(b.root(), name), describe(plain, name)) << "on the other machine";
  }
  EXPECT_EQ(b.unmount().code, 0);
}

}  // namespace
}  // namespace hitfs::testing
