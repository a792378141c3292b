#include "store/codecs/flat_codec.h"

#include <gtest/gtest.h>

#include "store/codecs/flat_mark.h"
#include "tests/support/golden.h"
#include "tests/support/memory_tree.h"

namespace hitfs {
namespace {

using namespace std::string_view_literals;
using testing::expect_golden;
using testing::golden;
using testing::MemorySink;
using testing::MemorySource;
using testing::MemoryTree;

const Codec& flat() { return codec_for("flat"); }

Result<std::string> pack(MemoryTree tree) {
  ManifestHeader header;
  header.key = {"", "flat", "1f3a"};
  auto bytes = tree.manifest(header);
  MemorySink sink;
  if (auto packed = flat().pack(ManifestView::parse(io::as_bytes(bytes)).value(), tree, sink); !packed) {
    return std::move(packed).error();
  }
  return sink.text;
}

Result<MemoryTree> unpack(const std::string& artifact, size_t piece = SIZE_MAX, bool knows_size = true) {
  MemoryTree tree;
  MemorySource source(artifact, piece, knows_size);
  auto facts = flat().unpack(source, tree);
  if (!facts) return std::move(facts).error();
  EXPECT_EQ(source.taken(), artifact.size());
  return tree;
}

MemoryTree file(uint16_t mode, int64_t mtime_ns, const std::string& bytes) {
  MemoryTree tree;
  tree.nodes[""] = {FileType::file, mode, mtime_ns, bytes};
  return tree;
}

MemoryTree example() {
  MemoryTree tree;
  tree.nodes[""] = {FileType::directory, 0750, 1'700'000'000'123'456'789, ""};
  tree.nodes["a"] = {FileType::directory, 0500, -1, ""};
  tree.nodes["a/empty"] = {FileType::directory, 0755, 1, ""};
  tree.nodes["a/tool"] = {FileType::file, 0755, 1'700'000'001'999'999'999, "#!/bin/sh\n"};
  tree.nodes["a/none"] = {FileType::file, 0, 5'000'000'000, ""};
  tree.nodes["a/link"] = {FileType::symlink, 0777, 999'999'999, "../new\nline"};
  tree.nodes["new\nline"] = {FileType::file, 0644, 3, "x"};
  tree.nodes["\xff\xfe=1"] = {FileType::file, 0444, 4, std::string(100'000, 'q')};
  tree.nodes["..\\C:"] = {FileType::file, 0644, 0, "not Windows"};
  tree.nodes["code"] = {FileType::file, 0644, 0, "no member of nx"};
  std::string deep;
  for (int i = 0; i < 20; ++i) {
    deep += (deep.empty() ? "" : "/") + std::string(100, static_cast<char>('a' + i));
    tree.nodes[deep] = {FileType::directory, 0711, i, ""};
  }
  tree.nodes[deep + "/leaf"] = {FileType::symlink, 0777, 1, std::string(3000, 't')};
  return tree;
}

TEST(FlatCodecTest, ADirectoryLosesNothing) {
  auto tree = example();
  auto artifact = pack(tree);
  ASSERT_TRUE(artifact) << artifact.error().message;
  expect_golden(*artifact, "flat-directory.tar.gz");
  for (size_t piece : {size_t{1}, size_t{1000}, SIZE_MAX}) {
    auto back = unpack(*artifact, piece);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->nodes, tree.nodes);
  }
}

TEST(FlatCodecTest, AnEmptyDirectoryIsAnEntry) {
  MemoryTree tree;
  tree.nodes[""] = {FileType::directory, 0700, 42, ""};
  auto back = unpack(pack(tree).value());
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->nodes, tree.nodes);
}

TEST(FlatCodecTest, APlainFileTravelsAsItsBytes) {
  for (const std::string& bytes : {std::string(), std::string("hello"), std::string("\x1f\x8b\x08\0 gzip", 10),
                                   golden("nx-24.0.6.tar.gz"), std::string(300'000, 'z')}) {
    auto tree = file(0600, 77, bytes);
    EXPECT_EQ(pack(tree).value(), bytes);
    for (bool knows_size : {true, false}) {
      auto back = unpack(bytes, 7777, knows_size);
      ASSERT_TRUE(back) << back.error().message;
      EXPECT_EQ(back->nodes, file(0644, 0, bytes).nodes);
    }
  }
}

TEST(FlatCodecTest, AnExecutableFileIsWrapped) {
  auto tree = file(0755, -7'000'000'001, "#!/bin/sh\n");
  auto artifact = pack(tree).value();
  expect_golden(artifact, "flat-executable.gz");
  for (size_t piece : {size_t{1}, SIZE_MAX}) {
    auto back = unpack(artifact, piece);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->nodes, tree.nodes);
  }
  auto empty = file(0111, 1, "");
  EXPECT_EQ(unpack(pack(empty).value())->nodes, empty.nodes);
}

TEST(FlatCodecTest, AFileThatCarriesTheMarkIsWrappedSoThatItComesBackAsAFile) {
  auto directory = example();
  auto marked = pack(directory).value();
  std::string newer = marked;
  newer[16] = 9;
  for (const std::string& bytes : {marked, newer, marked.substr(0, 14)}) {
    auto tree = file(0644, 5, bytes);
    auto artifact = pack(tree).value();
    EXPECT_NE(artifact, bytes);
    auto back = unpack(artifact);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->nodes, tree.nodes);
  }
  EXPECT_EQ(pack(file(0644, 5, marked.substr(0, 13))).value(), marked.substr(0, 13)) << "not a whole mark";
}

TEST(FlatCodecTest, SpecialBitsNeverTravel) {
  auto tree = file(06755, 1, "x");
  EXPECT_EQ(unpack(pack(tree).value())->nodes.at("").mode, 0755);
  MemoryTree directory;
  directory.nodes[""] = {FileType::directory, 01777, 0, ""};
  directory.nodes["tool"] = {FileType::file, 04755, 0, ""};
  auto back = unpack(pack(directory).value());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->nodes.at("").mode, 0777);
  EXPECT_EQ(back->nodes.at("tool").mode, 0755);
}

TEST(FlatCodecTest, KnowsAFormatOfTomorrowByItsVersion) {
  using R = Codec::Recognised;
  auto tree = example();
  auto artifact = pack(tree).value();
  EXPECT_EQ(flat().recognise(io::as_bytes(artifact)), R::yes);
  EXPECT_EQ(flat().recognise({}), R::yes) << "an empty file is a file";
  EXPECT_EQ(flat().recognise(io::as_bytes("\x28\xb5\x2f\xfd")), R::yes) << "any other bytes are a file";
  artifact[16] = 2;
  EXPECT_EQ(flat().recognise(io::as_bytes(artifact)), R::unknown);
  auto newer = unpack(artifact);
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().message.find("newer hitfs"), std::string::npos);
}

// Damage in bytes 0 to 3 or 12 and 13 takes the mark away: what is left is a file of other bytes, which no rule can
// tell from a file. Everywhere else damage is either seen or changes nothing.
TEST(FlatCodecTest, DamageBehindTheMarkIsNeverTakenForAnotherTree) {
  for (auto tree : {example(), file(0755, 3, "tool")}) {
    auto artifact = pack(tree).value();
    for (size_t i = 0; i < artifact.size(); ++i) {
      for (int flip : {0x01, 0xff}) {
        auto damaged = artifact;
        damaged[i] = static_cast<char>(damaged[i] ^ flip);
        auto back = unpack(damaged);
        if (!back) continue;
        bool lost_its_mark = i < 4 || i == 12 || i == 13;
        EXPECT_EQ(back->nodes, lost_its_mark ? file(0644, 0, damaged).nodes : tree.nodes) << "byte " << i;
      }
    }
    for (size_t length = 14; length < artifact.size(); ++length) EXPECT_FALSE(unpack(artifact.substr(0, length)));
  }
}

TEST(FlatCodecTest, ACutFileOfKnownSizeIsSeen) {
  class CutSource : public MemorySource {
   public:
    CutSource() : MemorySource("half") {}
    [[nodiscard]] std::optional<uint64_t> size() const override { return 8; }
  };
  CutSource source;
  MemoryTree tree;
  auto facts = flat().unpack(source, tree);
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code, Code::corrupt);
}

TEST(FlatCodecTest, RefusesToPackLinksThatLeaveTheEntry) {
  for (const char* target : {"/usr/bin/python3", "../x", "a/../.."}) {
    MemoryTree tree;
    tree.nodes[""] = {FileType::directory, 0755, 0, ""};
    tree.nodes["link"] = {FileType::symlink, 0777, 0, target};
    auto packed = pack(tree);
    ASSERT_FALSE(packed);
    EXPECT_EQ(packed.error().code, Code::invalid_argument);
    EXPECT_NE(packed.error().message.find("member link"), std::string::npos) << packed.error().message;
  }
}

TEST(FlatCodecTest, OtherTarReadersCanOpenADirectory) {
  // The mark is an ordinary extra field: this is a .tar.gz.
  auto tree = example();
  auto artifact = pack(tree).value();
  MemorySource source(artifact);
  Guard guard({}, ArchiveReaders::hitfs_only);
  EXPECT_TRUE(FlatMark::is_on(artifact));
  auto mark = FlatMark::parse(artifact);
  ASSERT_TRUE(mark) << mark.error().message;
  EXPECT_EQ(mark->kind, FlatMark::Kind::directory);
  EXPECT_EQ(mark->mode, 0750);
  EXPECT_EQ(mark->mtime_ns, 1'700'000'000'123'456'789);
}

TEST(FlatCodecTest, TheLimitsHoldForPlainFilesToo) {
  GuardLimits limits;
  limits.artifact_bytes = 10;
  auto codec = make_codec("flat", limits);
  MemoryTree tree;
  MemorySource source("12345678901");
  EXPECT_FALSE(codec->unpack(source, tree));
}

}  // namespace
}  // namespace hitfs
