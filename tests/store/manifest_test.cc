#include "store/manifest.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>

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
