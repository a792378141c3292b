#include "store/manifest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>
#include <tuple>

#include "store/base/io.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

ManifestHeader header_of(EntryKind kind) {
  ManifestHeader header;
  header.entry_id = 4711;
  header.key = {"", "flat", "1f3a"};
  header.kind = kind;
  header.exit_code = -1;
  header.created_ns = 42;
  header.terminal_output = Digest::of(io::as_bytes("log"));
  return header;
}

std::string example() {
  ManifestBuilder builder;
  auto root = builder.root_directory(0755, 1);
  auto sub = builder.add_directory(root, "sub", 0700, 2).value();
  EXPECT_TRUE(builder.add_file(sub, "tool", 0755, 3, 5, Digest::of(io::as_bytes("hello"))));
  EXPECT_TRUE(builder.add_symlink(root, "link", "sub/tool", 4));
  EXPECT_TRUE(builder.add_file(root, "b\xff", 0444, 5, 0, Digest::of({})));
  return builder.finish(header_of(EntryKind::directory));
}

TEST(ManifestTest, KeepsEveryAttributeOfATree) {
  auto bytes = example();
  auto view = ManifestView::parse(io::as_bytes(bytes));
  ASSERT_TRUE(view) << view.error().message;
  EXPECT_EQ(view->size(), 5u);
  EXPECT_FALSE(view->is_draft());
  auto header = view->header();
  EXPECT_EQ(header.entry_id, 4711u);
  EXPECT_EQ(header.key.name, "1f3a");
  EXPECT_EQ(header.exit_code, -1);
  EXPECT_EQ(header.terminal_output->size, 3u);
  EXPECT_FALSE(header.artifact);

  auto link = view->child(0, "link");
  ASSERT_TRUE(link);
  EXPECT_EQ(view->at(*link).target, "sub/tool");
  auto sub = view->child(0, "sub");
  ASSERT_TRUE(sub);
  EXPECT_EQ(view->at(*sub).mode, 0700);
  auto tool = view->child(*sub, "tool");
  ASSERT_TRUE(tool);
  EXPECT_EQ(view->path(*tool), "sub/tool");
  EXPECT_EQ(std::get<Digest>(view->at(*tool).content), Digest::of(io::as_bytes("hello")));
  EXPECT_EQ(view->at(*tool).mtime_ns, 3);
  EXPECT_FALSE(view->child(0, "tool"));
  EXPECT_EQ(view->total_bytes(), 5u);
  EXPECT_EQ(view->total_files(), 2u);
}

TEST(ManifestTest, TheOrderOfAddingDoesNotMatter) {
  ManifestBuilder one;
  one.root_directory(0755, 0);
  auto a = one.add_directory(0, "a", 0755, 0).value();
  ASSERT_TRUE(one.add_file(a, "x", 0644, 0, 0, Digest::of({})));
  ASSERT_TRUE(one.add_directory(0, "b", 0755, 0));
  ManifestBuilder other;
  other.root_directory(0755, 0);
  ASSERT_TRUE(other.add_directory(0, "b", 0755, 0));
  auto a2 = other.add_directory(0, "a", 0755, 0).value();
  ASSERT_TRUE(other.add_file(a2, "x", 0644, 0, 0, Digest::of({})));
  auto header = header_of(EntryKind::directory);
  EXPECT_EQ(one.finish(header), other.finish(header));
}

TEST(ManifestTest, ADraftNamesStagedFiles) {
  ManifestBuilder builder;
  builder.root_file(0644, 0, 12, StagedNumber{77});
  auto bytes = builder.finish(header_of(EntryKind::file));
  auto view = ManifestView::parse(io::as_bytes(bytes));
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->is_draft());
  EXPECT_EQ(std::get<StagedNumber>(view->at(0).content).number, 77u);
}

TEST(ManifestTest, RefusesNamesThatLeaveTheDirectory) {
  ManifestBuilder builder;
  auto root = builder.root_directory(0755, 0);
  for (const char* name : {"", ".", "..", "a/b"}) EXPECT_FALSE(builder.add_directory(root, name, 0755, 0)) << name;
  ASSERT_TRUE(builder.add_directory(root, "a", 0755, 0));
  EXPECT_FALSE(builder.add_symlink(root, "a", "x", 0));
}

TEST(ManifestTest, EveryFlippedByteIsNoticed) {
  auto bytes = example();
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
    EXPECT_FALSE(ManifestView::parse(io::as_bytes(damaged))) << "byte " << i;
  }
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(ManifestView::parse(io::as_bytes(std::string_view(bytes).substr(0, length))));
  }
}

// A byte of the file changed, and the checksum made right again.
std::string changed(std::string file, size_t at, uint8_t value) {
  constexpr size_t kChecksum = 144;
  file[at] = static_cast<char>(value);
  std::fill_n(file.begin() + kChecksum, 32, '\0');
  auto hash = Digest::of(io::as_bytes(file)).hash;
  std::memcpy(file.data() + kChecksum, hash.data(), hash.size());
  return file;
}

TEST(ManifestTest, WhatNoBuilderWritesIsRefusedThoughItsChecksumIsRight) {
  constexpr size_t kRecords = 192, kRecord = 64, kType = 5, kMode = 7, kSize = 16;
  auto bytes = example();  // the entry, then "b", "link" and "sub"
  ASSERT_TRUE(ManifestView::parse(io::as_bytes(changed(bytes, kRecords + kMode - 1, 0xff))));
  size_t link = kRecords + 2 * kRecord;
  for (auto [what, at, value] :
       {std::tuple("the entry is a link", kRecords + kType, 3),
        std::tuple("the entry is a file, says its record", kRecords + kType, 2),
        std::tuple("the entry is a file, says the header", size_t{32}, 1),
        std::tuple("a mode beyond the permissions", kRecords + kMode, 0x10),
        std::tuple("a directory with a size", kRecords + kSize, 1), std::tuple("a link to nowhere", link + kSize, 0),
        std::tuple("a link target with a NUL", bytes.size() - 1 - 7, 0)}) {
    auto damaged = changed(bytes, at, static_cast<uint8_t>(value));
    auto view = ManifestView::parse(io::as_bytes(damaged));
    ASSERT_FALSE(view) << what;
    EXPECT_EQ(view.error().code, Code::corrupt) << what;
  }
}

TEST(ManifestTest, ABuilderKeepsPermissionsOnly) {
  ManifestBuilder builder;
  builder.root_directory(0040755, 0);
  auto bytes = builder.finish(header_of(EntryKind::directory));
  auto view = ManifestView::parse(io::as_bytes(bytes));
  ASSERT_TRUE(view) << view.error().message;
  EXPECT_EQ(view->at(0).mode, 0755);
}

TEST(ManifestTest, MapsAFile) {
  testing::TempDir dir;
  std::ofstream(dir / "m") << example();
  auto mapped = MappedManifest::open((dir / "m").string());
  ASSERT_TRUE(mapped) << mapped.error().message;
  EXPECT_EQ((*mapped)->view().size(), 5u);
  EXPECT_FALSE(MappedManifest::open((dir / "none").string()));
}

TEST(ManifestTest, AFileCostsAtMost64BytesAndItsName) {
  ManifestBuilder builder;
  builder.root_directory(0755, 0);
  auto empty = builder.finish(header_of(EntryKind::directory)).size();
  ASSERT_TRUE(builder.add_file(0, "name", 0644, 0, 1, Digest::of(io::as_bytes("x"))));
  EXPECT_EQ(builder.finish(header_of(EntryKind::directory)).size(), empty + 64 + 4);
}

}  // namespace
}  // namespace hitfs
