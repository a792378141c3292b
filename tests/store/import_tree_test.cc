#include "store/import_tree.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/memory_tree.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

using testing::MemorySink;
using testing::MemorySource;
using testing::MemoryTree;
using testing::TempDir;

void write(const std::filesystem::path& path, const std::string& text, mode_t mode = 0644) {
  std::ofstream(path, std::ios::binary) << text;
  ::chmod(path.c_str(), mode);
}

void set_time(const std::filesystem::path& path, int64_t seconds, long nanoseconds) {
  timespec times[2] = {{0, UTIME_OMIT}, {seconds, nanoseconds}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
}

// What the tree is after a journey: packed from disk and unpacked.
Result<MemoryTree> travel(ImportedTree& imported) {
  ManifestHeader header;
  header.key = {"", "flat", "1f3a"};
  header.kind = imported.kind();
  auto draft = imported.tree().finish(header);
  MemorySink artifact;
  auto packed = codec_for("flat").pack(ManifestView::parse(io::as_bytes(draft)).value(), imported, artifact);
  if (!packed) return std::move(packed).error();
  MemorySource source(artifact.text);
  MemoryTree tree;
  if (auto facts = codec_for("flat").unpack(source, tree); !facts) return std::move(facts).error();
  return tree;
}

std::string refusal(const std::filesystem::path& path, Code code = Code::invalid_argument) {
  auto imported = ImportedTree::read(path);
  if (imported) return "";
  EXPECT_EQ(imported.error().code, code);
  return imported.error().message;
}

TEST(ImportTreeTest, ReadsADirectoryAsItIs) {
  TempDir dir;
  auto root = dir / "out";
  std::filesystem::create_directories(root / "sub" / "empty");
  write(root / "sub" / "tool", "#!/bin/sh\n", 04755);
  write(root / "\xff name", "bytes", 0400);
  std::filesystem::create_symlink("../nowhere", root / "sub" / "link");
  set_time(root / "sub" / "link", 7, 8);
  set_time(root / "sub" / "tool", -1, 999'999'999);
  ::chmod((root / "sub").c_str(), 02750);
  set_time(root / "sub", 5, 6);
  set_time(root, 3, 4);

  auto imported = ImportedTree::read(root);
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ((*imported)->kind(), EntryKind::directory);
  EXPECT_EQ((*imported)->total_files(), 2u);
  EXPECT_EQ((*imported)->total_bytes(), 15u);
  auto tree = travel(**imported);
  ASSERT_TRUE(tree) << tree.error().message;
  EXPECT_EQ(tree->nodes.size(), 6u);
  EXPECT_EQ(tree->nodes.at("").mtime_ns, 3'000'000'004);
  EXPECT_EQ(tree->nodes.at("sub"), (MemoryTree::Node{FileType::directory, 0750, 5'000'000'006, ""}));
  EXPECT_EQ(tree->nodes.at("sub/link"), (MemoryTree::Node{FileType::symlink, 0777, 7'000'000'008, "../nowhere"}));
  EXPECT_EQ(tree->nodes.at("sub/tool"), (MemoryTree::Node{FileType::file, 0755, -1, "#!/bin/sh\n"}));
  EXPECT_EQ(tree->nodes.at("\xff name").bytes, "bytes");
}

TEST(ImportTreeTest, AFileIsAnEntryAndTheGivenPathMayBeALink) {
  TempDir dir;
  write(dir / "file", "hello", 0755);
  std::filesystem::create_symlink("file", dir / "link");
  for (const char* name : {"file", "link"}) {
    auto imported = ImportedTree::read(dir / name);
    ASSERT_TRUE(imported) << imported.error().message;
    EXPECT_EQ((*imported)->kind(), EntryKind::file);
    EXPECT_EQ(travel(**imported)->nodes.at("").bytes, "hello");
  }
}

TEST(ImportTreeTest, NamesWhatCannotBeAnEntry) {
  TempDir dir;
  auto make = [&](const char* name) {
    std::filesystem::create_directories(dir / name);
    return dir / name;
  };
  ASSERT_EQ(::mkfifo((make("fifo") / "pipe").c_str(), 0600), 0);
  EXPECT_NE(refusal(dir / "fifo").find("fifo/pipe is no file"), std::string::npos);
  EXPECT_NE(refusal(dir / "fifo" / "pipe").find("no file and no directory"), std::string::npos);
  std::filesystem::create_symlink("/etc/passwd", make("absolute") / "l");
  EXPECT_NE(refusal(dir / "absolute").find("absolute target: member l"), std::string::npos);
  std::filesystem::create_symlink("../x", make("climbing") / "l");
  EXPECT_NE(refusal(dir / "climbing").find("leaves the entry"), std::string::npos);
  EXPECT_NE(refusal(dir / "missing", Code::not_found).find("missing"), std::string::npos);
  GuardLimits small;
  small.unpacked_bytes = 4;
  write(make("large") / "f", "12345");
  EXPECT_FALSE(ImportedTree::read(dir / "large", small));
}

TEST(ImportTreeTest, AFileThatChangesMeanwhileIsNeverHalfOldAndHalfNew) {
  TempDir dir;
  auto root = dir / "out";
  std::filesystem::create_directories(root);
  struct Case {
    const char* what;
    std::function<void()> change;
  };
  const Case cases[] = {
      {"rewritten", [&] { write(root / "f", "other"); }},
      {"longer", [&] { write(root / "f", "longer than before"); }},
      {"gone", [&] { std::filesystem::remove(root / "f"); }},
      {"another file",
       [&] {
         write(dir / "g", "hello");
         std::filesystem::rename(dir / "g", root / "f");
       }},
      {"a link",
       [&] {
         write(dir / "g", "hello");
         std::filesystem::remove(root / "f");
         std::filesystem::create_symlink("../g", root / "f");
       }},
  };
  for (const auto& [what, change] : cases) {
    std::filesystem::remove(root / "f");
    write(root / "f", "hello");
    set_time(root / "f", 1, 0);
    auto imported = ImportedTree::read(root);
    ASSERT_TRUE(imported);
    change();
    auto tree = travel(**imported);
    ASSERT_FALSE(tree) << what;
    EXPECT_EQ(tree.error().code, Code::unavailable) << what;
    EXPECT_NE(tree.error().message.find("changed while it was read"), std::string::npos);
  }
}

}  // namespace
}  // namespace hitfs
