#include "store/export_tree.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "store/import_tree.h"
#include "tests/support/memory_tree.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

using testing::MemoryTree;
using Existing = TreeExporter::Existing;

// Opens the closed directories of a tree at the end, so that an ordinary user can remove them.
class TempDir : public testing::TempDir {
 public:
  ~TempDir() { open_all(path()); }

 private:
  static void open_all(const std::filesystem::path& folder) {
    ::chmod(folder.c_str(), 0700);
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.is_directory() && !entry.is_symlink()) open_all(entry.path());
    }
  }
};

MemoryTree example() {
  MemoryTree tree;
  tree.nodes[""] = {FileType::directory, 0555, 1'700'000'000'123'456'789, ""};
  tree.nodes["closed"] = {FileType::directory, 0500, 5, ""};
  tree.nodes["closed/deep"] = {FileType::directory, 0500, 6, ""};
  tree.nodes["closed/deep/file"] = {FileType::file, 0640, -1, std::string(100'000, 'x')};
  tree.nodes["closed/link"] = {FileType::symlink, 0777, 7, "deep/file"};
  tree.nodes["empty"] = {FileType::file, 0400, 8, ""};
  return tree;
}

Status export_to(MemoryTree tree, TreeExporter& exporter) {
  ManifestHeader header;
  header.key = {"", "flat", "1f3a"};
  auto bytes = tree.manifest(header);
  return export_tree(ManifestView::parse(io::as_bytes(bytes)).value(), tree, exporter);
}

// The tree on disk, as import and its contents see it.
MemoryTree on_disk(const std::filesystem::path& path) {
  auto imported = ImportedTree::read(path).value();
  ManifestHeader header;
  header.key = {"", "flat", "1f3a"};
  header.kind = imported->kind();
  auto draft = imported->tree().finish(header);
  MemoryTree tree;
  EXPECT_TRUE(export_tree(ManifestView::parse(io::as_bytes(draft)).value(), *imported, tree));
  return tree;
}

size_t names_in(const std::filesystem::path& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(ExportTreeTest, WritesTheTreeAsItIsWhateverTheUmask) {
  TempDir dir;
  auto before = ::umask(0077);
  auto exporter = TreeExporter::open(dir / "out", Existing::refuse).value();
  auto exported = export_to(example(), *exporter);
  ASSERT_TRUE(exported) << exported.error().message;
  EXPECT_FALSE(std::filesystem::exists(dir / "out")) << "nothing is visible before the commit";
  auto committed = exporter->commit();
  ::umask(before);
  ASSERT_TRUE(committed) << committed.error().message;
  exporter.reset();
  EXPECT_EQ(on_disk(dir / "out").nodes, example().nodes);
  EXPECT_EQ(names_in(dir.path()), 1u);
}

TEST(ExportTreeTest, WritesAFile) {
  TempDir dir;
  MemoryTree tree;
  tree.nodes[""] = {FileType::file, 0751, 3'000'000'001, "hello"};
  auto exporter = TreeExporter::open(dir / "out", Existing::refuse).value();
  ASSERT_TRUE(export_to(tree, *exporter));
  ASSERT_TRUE(exporter->commit());
  EXPECT_EQ(on_disk(dir / "out").nodes, tree.nodes);
}

TEST(ExportTreeTest, ImpliedDirectoriesAreOpenToAll) {
  TempDir dir;
  auto exporter = TreeExporter::open(dir / "out", Existing::refuse).value();
  auto file = exporter->begin_file("a/b/f", 0644, 1, 0);
  ASSERT_TRUE(file);
  ASSERT_TRUE(exporter->end_file());
  ASSERT_TRUE(exporter->directory("a", 0711, 2));
  ASSERT_TRUE(exporter->commit());
  auto nodes = on_disk(dir / "out").nodes;
  EXPECT_EQ(nodes.at("").mode, 0755);
  EXPECT_EQ(nodes.at("a"), (MemoryTree::Node{FileType::directory, 0711, 2, ""}));
  EXPECT_EQ(nodes.at("a/b").mode, 0755);
}

TEST(ExportTreeTest, DroppedItLeavesNothing) {
  TempDir dir;
  {
    auto exporter = TreeExporter::open(dir / "out", Existing::refuse).value();
    ASSERT_TRUE(export_to(example(), *exporter));
  }
  EXPECT_EQ(names_in(dir.path()), 0u);
}

TEST(ExportTreeTest, WhatIsThereStaysUnlessItIsToBeReplaced) {
  TempDir dir;
  std::ofstream(dir / "out") << "mine";
  auto refused = TreeExporter::open(dir / "out", Existing::refuse);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::invalid_argument);

  // A file by a tree, that tree by itself, and the tree (with its closed directories) by a file.
  MemoryTree file;
  file.nodes[""] = {FileType::file, 0644, 1, "x"};
  for (auto& tree : {example(), example(), file}) {
    auto exporter = TreeExporter::open(dir / "out", Existing::replace).value();
    ASSERT_TRUE(export_to(tree, *exporter));
    auto committed = exporter->commit();
    ASSERT_TRUE(committed) << committed.error().message;
    EXPECT_EQ(on_disk(dir / "out").nodes, tree.nodes);
    EXPECT_EQ(names_in(dir.path()), 1u);
  }
}

TEST(ExportTreeTest, WhatAppearsMeanwhileIsNotOverwritten) {
  TempDir dir;
  auto exporter = TreeExporter::open(dir / "out", Existing::refuse).value();
  ASSERT_TRUE(export_to(example(), *exporter));
  std::ofstream(dir / "out") << "mine";
  auto committed = exporter->commit();
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().code, Code::invalid_argument);
  exporter.reset();
  EXPECT_EQ(on_disk(dir / "out").nodes.at("").bytes, "mine");
  EXPECT_EQ(names_in(dir.path()), 1u);
}

TEST(ExportTreeTest, DamagedContentsAreNotExported) {
  TempDir dir;
  auto tree = example();
  ManifestHeader header;
  header.key = {"", "flat", "1f3a"};
  auto bytes = tree.manifest(header);
  tree.damage(std::string(100'000, 'x'), std::string(100'000, 'y'));
  auto exporter = TreeExporter::open(dir / "out", Existing::refuse).value();
  auto exported = export_tree(ManifestView::parse(io::as_bytes(bytes)).value(), tree, *exporter);
  ASSERT_FALSE(exported);
  EXPECT_EQ(exported.error().code, Code::corrupt);
  EXPECT_NE(exported.error().message.find("closed/deep/file"), std::string::npos);
}

TEST(ExportTreeTest, NeedsAPlaceWithAName) {
  TempDir dir;
  EXPECT_FALSE(TreeExporter::open("/", Existing::refuse));
  EXPECT_FALSE(TreeExporter::open(dir / "..", Existing::replace));
  EXPECT_FALSE(TreeExporter::open(dir / "missing" / "out", Existing::refuse));
  EXPECT_TRUE(TreeExporter::open(dir / "out/", Existing::refuse));
}

}  // namespace
}  // namespace hitfs
