#include "store/codecs/nx_codec.h"

#include <gtest/gtest.h>

#include "store/archive/gzip.h"
#include "tests/support/golden.h"
#include "tests/support/memory_tree.h"
#include "tests/support/raw_tar.h"

namespace hitfs {
namespace {

using testing::expect_golden;
using testing::golden;
using testing::MemorySink;
using testing::MemorySource;
using testing::MemoryTree;
using testing::RawTar;

const Codec& nx() { return codec_for("nx"); }

std::string gzip_of(std::string_view bytes) {
  MemorySink sink;
  GzipWriter writer(sink, GuardLimits{});
  EXPECT_TRUE(writer.write(io::as_bytes(bytes)));
  EXPECT_TRUE(writer.finish());
  return sink.text;
}

struct Unpacked {
  ArtifactFacts facts;
  MemoryTree tree;
};

Result<Unpacked> unpack(const std::string& artifact, const Codec& codec = nx(), size_t piece = SIZE_MAX) {
  Unpacked unpacked;
  MemorySource source(artifact, piece);
  auto facts = codec.unpack(source, unpacked.tree);
  if (!facts) return std::move(facts).error();
  EXPECT_EQ(source.taken(), artifact.size());
  unpacked.facts = *std::move(facts);
  return unpacked;
}

std::string refusal(const std::string& tar) {
  auto unpacked = unpack(gzip_of(tar));
  if (unpacked) return "";
  EXPECT_EQ(unpacked.error().code, Code::corrupt);
  return unpacked.error().message;
}

Result<std::string> pack(MemoryTree& tree, ManifestHeader header = {}) {
  header.key = {"", "nx", "16753371117218787125"};
  auto bytes = tree.manifest(header);
  auto view = ManifestView::parse(io::as_bytes(bytes));
  EXPECT_TRUE(view);
  MemorySink sink;
  if (auto packed = nx().pack(*view, tree, sink); !packed) return std::move(packed).error();
  return sink.text;
}

MemoryTree example() {
  MemoryTree tree;
  tree.root(false, 0755, 0).value();
  tree.directory("dist", 0555, 1'700'000'000'123'456'789).value();
  tree.nodes["dist/index.js"] = {FileType::file, 0644, 1'700'000'001'999'999'999, "console.log(1)\n"};
  tree.nodes["dist/tool"] = {FileType::file, 04755, 1'700'000'002'000'000'000, std::string(3000, 'x')};
  tree.nodes["dist/empty"] = {FileType::file, 0044, -5'000'000'000, ""};
  tree.nodes["dist/sub"] = {FileType::directory, 0755, 0, ""};
  tree.nodes["dist/sub/link"] = {FileType::symlink, 0777, 7'000'000'000, "../index.js"};
  tree.nodes["dist/" + std::string(150, 'n')] = {FileType::file, 0444, 0, "long"};
  return tree;
}

class NxGoldenTest : public ::testing::TestWithParam<const char*> {};

// Captured from real nx clients: one project whose build writes the same outputs everywhere.
TEST_P(NxGoldenTest, ReadsWhatThisNxWrote) {
  std::string version = GetParam();
  for (size_t piece : {size_t{1}, SIZE_MAX}) {
    auto unpacked = unpack(golden("nx-" + version + ".tar.gz"), nx(), piece);
    ASSERT_TRUE(unpacked) << unpacked.error().message;
    EXPECT_EQ(unpacked->facts.exit_code, 0);
    EXPECT_NE(unpacked->facts.terminal_output.find("built lib-a"), std::string::npos);
    const auto& nodes = unpacked->tree.nodes;
    EXPECT_EQ(nodes.size(), 11u);
    std::string sub = "dist/lib-a/sub/";
    EXPECT_EQ(nodes.at("dist/lib-a/index.js").bytes, "console.log(1)\n");
    EXPECT_EQ(nodes.at("dist/lib-a/tool.sh").mode, 0755);
    EXPECT_EQ(nodes.at(sub + "ro.txt").mode, 0444);
    EXPECT_EQ(nodes.at(sub + "empty.txt").bytes, "");
    EXPECT_EQ(nodes.at(sub + "empty").type, FileType::directory);
    EXPECT_EQ(nodes.at(sub + std::string(120, 'l') + ".txt").bytes, "long\n");
    EXPECT_EQ(nodes.at("dist/lib-a/caf\xc3\xa9.txt").bytes, "utf8\n");
    EXPECT_GT(nodes.at("dist/lib-a").mtime_ns, 0);
    // nx 20 follows links.
    EXPECT_EQ(nodes.at(sub + "link").type, version == "20.8.2" ? FileType::file : FileType::symlink);
    EXPECT_EQ(nodes.at(sub + "link").bytes, version == "20.8.2" ? "console.log(1)\n" : "../index.js");
  }
}

INSTANTIATE_TEST_SUITE_P(FiveVersions, NxGoldenTest,
                         ::testing::Values("20.8.2", "21.6.5", "22.6.5", "23.3.2", "24.0.6"));

TEST(NxCodecTest, TellsDamagedFromAFormatOfTomorrow) {
  using R = Codec::Recognised;
  auto recognise = [](std::string_view bytes) { return nx().recognise(io::as_bytes(bytes)); };
  EXPECT_EQ(recognise(golden("nx-24.0.6.tar.gz").substr(0, Codec::kPrefix)), R::yes);
  EXPECT_EQ(recognise("\x28\xb5\x2f\xfd zstd"), R::unknown);
  EXPECT_EQ(recognise(std::string_view("\xfd\x37zXZ\0", 6)), R::unknown);
  EXPECT_EQ(recognise("PK\x03\x04 zip"), R::unknown);
  EXPECT_EQ(recognise(""), R::damaged);
  EXPECT_EQ(recognise("\x1f"), R::damaged);
  EXPECT_EQ(recognise("<html>proxy error</html>"), R::damaged);
  EXPECT_EQ(recognise("{\"error\": \"not found\"}"), R::damaged);
  EXPECT_EQ(recognise(RawTar().file("a", "b").done_for_nx()), R::damaged) << "nx fails on a plain tar";
}

TEST(NxCodecTest, PacksTheFormThatEveryVersionReads) {
  auto tree = example();
  ManifestHeader header;
  header.terminal_output = tree.keep("built\r\n");
  auto artifact = pack(tree, header);
  ASSERT_TRUE(artifact) << artifact.error().message;
  expect_golden(*artifact, "nx-packed.tar.gz");

  auto unpacked = unpack(*artifact);
  ASSERT_TRUE(unpacked) << unpacked.error().message;
  EXPECT_EQ(unpacked->facts.exit_code, 0);
  EXPECT_TRUE(unpacked->facts.has_terminal_output);
  EXPECT_EQ(unpacked->facts.terminal_output, "built\r\n");
  // nx makes directories and files at once with these modes and works in them as an ordinary user; it knows seconds.
  auto expected = example().nodes;
  expected.erase("");
  expected["dist"].mode = 0755;
  expected["dist/tool"].mode = 0755;
  expected["dist/empty"].mode = 0444;
  for (auto& [path, node] : expected)
    node.mtime_ns = std::max<int64_t>(node.mtime_ns, 0) / 1'000'000'000 * 1'000'000'000;
  EXPECT_EQ(unpacked->tree.nodes, expected);
}

TEST(NxCodecTest, PackingTwiceGivesTheSameBytes) {
  auto tree = example();
  auto unpacked = unpack(pack(tree).value());
  ASSERT_TRUE(unpacked);
  unpacked->tree.root(false, 0755, 0).value();
  EXPECT_EQ(pack(unpacked->tree).value(), pack(tree).value());
}

TEST(NxCodecTest, CarriesTheExitCode) {
  for (int32_t code : {0, 1, 130, 255, 256, -1}) {
    MemoryTree tree;
    tree.root(false, 0755, 0).value();
    ManifestHeader header;
    header.exit_code = code;
    auto unpacked = unpack(pack(tree, header).value());
    ASSERT_TRUE(unpacked);
    EXPECT_EQ(unpacked->facts.exit_code, code);
  }
}

TEST(NxCodecTest, RefusesToPackWhatCannotTravel) {
  auto refused = [](const std::string& path, MemoryTree::Node node) {
    MemoryTree tree;
    tree.root(false, 0755, 0).value();
    tree.nodes[path] = std::move(node);
    auto packed = pack(tree);
    if (packed) return std::string();
    EXPECT_EQ(packed.error().code, Code::invalid_argument);
    return packed.error().message;
  };
  EXPECT_NE(refused("code", {FileType::file, 0644, 0, ""}), "");
  EXPECT_NE(refused("terminalOutput", {FileType::directory, 0755, 0, ""}), "");
  EXPECT_NE(refused("link", {FileType::symlink, 0777, 0, "/etc"}).find("absolute target: member link"),
            std::string::npos);
  EXPECT_NE(refused("link", {FileType::symlink, 0777, 0, "../x"}), "");
  EXPECT_NE(refused("C:", {FileType::file, 0644, 0, ""}), "");
  MemoryTree file;
  file.root(true, 0644, 0).value();
  EXPECT_FALSE(pack(file));
  MemoryTree tree;
  tree.root(false, 0755, 0).value();
  ManifestHeader header;
  header.terminal_output = tree.keep("\xff");
  EXPECT_FALSE(pack(tree, header)) << "nx fails on output that is not UTF-8";
}

TEST(NxCodecTest, DamagedContentsNeverBecomeAGoodArtifact) {
  auto tree = example();
  tree.manifest({});
  for (const std::string& instead : {std::string(3000, 'y'), std::string(2999, 'x'), std::string(3001, 'x')}) {
    auto damaged = example();
    ManifestHeader header;
    header.key = {"", "nx", "1"};
    auto bytes = damaged.manifest(header);
    damaged.damage(std::string(3000, 'x'), instead);
    MemorySink sink;
    auto packed = nx().pack(ManifestView::parse(io::as_bytes(bytes)).value(), damaged, sink);
    ASSERT_FALSE(packed);
    EXPECT_EQ(packed.error().code, Code::corrupt);
    EXPECT_NE(packed.error().message.find("dist/tool"), std::string::npos) << packed.error().message;
  }
}

TEST(NxCodecTest, RefusesWhatSomeVersionFailsOn) {
  std::string zero(4, '\0');
  EXPECT_NE(refusal(RawTar().file("a", "b").done()).find("code is missing"), std::string::npos);
  EXPECT_NE(refusal(RawTar().code("").done()).find("4 bytes"), std::string::npos);
  EXPECT_NE(refusal(RawTar().code("12345").done()).find("4 bytes"), std::string::npos);
  EXPECT_NE(refusal(RawTar().code(zero).code(zero).done()).find("twice"), std::string::npos);
  EXPECT_NE(refusal(RawTar().file("./code", zero).done()), "");
  EXPECT_NE(refusal(RawTar().file("./terminalOutput", "x").done_for_nx()), "");
  EXPECT_NE(refusal(RawTar().directory("terminalOutput/").done_for_nx()), "");
  EXPECT_NE(refusal(RawTar().directory("code/").done_for_nx()), "");
  EXPECT_NE(refusal(RawTar().file("code/x", "").done_for_nx()), "");
  EXPECT_NE(refusal(RawTar().symlink("terminalOutput", "dist/x").done_for_nx()), "");
  EXPECT_NE(refusal(RawTar().file("terminalOutput", "\xff").done_for_nx()).find("UTF-8"), std::string::npos);
  EXPECT_NE(refusal(RawTar().file("terminalOutput", "\xed\xa0\x80").done_for_nx()).find("UTF-8"), std::string::npos);
  EXPECT_NE(refusal(RawTar().directory("./").done_for_nx()).find("entry itself"), std::string::npos);
  EXPECT_NE(refusal(RawTar().file("../../x", "").done_for_nx()).find("\"..\""), std::string::npos);
  EXPECT_NE(refusal(RawTar().file("/x", "").done_for_nx()).find("absolute"), std::string::npos);
  EXPECT_NE(refusal(RawTar().symlink("l", "/etc/passwd").done_for_nx()).find("absolute"), std::string::npos);
  EXPECT_NE(refusal(RawTar().add({.name = "h", .type = '1', .link = "a"}).done_for_nx()), "");
  EXPECT_NE(refusal(RawTar().add({.name = "fifo", .type = '6'}).done_for_nx()), "");
  EXPECT_NE(refusal(RawTar().add({.name = "d/", .type = '5', .mode = "0000555"}).done_for_nx()), "");
  EXPECT_NE(refusal(RawTar().file("a", "1").file("a", "2").done_for_nx()).find("twice"), std::string::npos);
}

TEST(NxCodecTest, TakesWhatEveryVersionReads) {
  EXPECT_EQ(refusal(RawTar().done_for_nx()), "") << "no outputs, no text";
  EXPECT_EQ(refusal(RawTar().file("./dist/x", "1").done_for_nx()), "");
  EXPECT_EQ(refusal(RawTar().file("dist/x", "1").directory("dist/").done_for_nx()), "");
  EXPECT_EQ(refusal(RawTar().symlink("dist/l", "nowhere").done_for_nx()), "") << "a dangling link inside";
  EXPECT_EQ(refusal(RawTar().file("terminalOutput", "caf\xc3\xa9 \xf0\x9f\x98\x80").done_for_nx()), "");
  EXPECT_EQ(refusal(RawTar().code(std::string(4, '\0')).file("terminalOutput", "x").file("a", "").done()), "");
  auto setuid = unpack(gzip_of(RawTar().add({.name = "f", .mode = "0006755"}).done_for_nx()));
  ASSERT_TRUE(setuid);
  EXPECT_EQ(setuid->tree.nodes.at("f").mode, 0755);
}

TEST(NxCodecTest, EndsBombsAndOversizedTextByTheLimits) {
  GuardLimits limits;
  limits.terminal_output_bytes = 10;
  auto codec = make_codec("nx", limits);
  auto text = gzip_of(RawTar().file("terminalOutput", "12345678901").done_for_nx());
  EXPECT_FALSE(unpack(text, *codec));
  EXPECT_TRUE(unpack(text));
  limits.unpacked_bytes = 1 << 20;
  auto bomb = unpack(gzip_of(RawTar().file("a", std::string(8 << 20, '\0')).done_for_nx()), *make_codec("nx", limits));
  ASSERT_FALSE(bomb);
  EXPECT_NE(bomb.error().message.find("unpacked bytes"), std::string::npos);
  limits.members = 3;
  auto crowd = unpack(gzip_of(RawTar().file("a/b/c/d", "").done_for_nx()), *make_codec("nx", limits));
  ASSERT_FALSE(crowd);
  EXPECT_NE(crowd.error().message.find("more members"), std::string::npos);
}

// Every byte of a real artifact damaged, and every cut: refused, or the very same tree (the few bits that mean
// nothing).
TEST(NxCodecTest, DamageIsNeverTakenForAnotherTree) {
  auto artifact = golden("nx-24.0.6.tar.gz");
  auto whole = unpack(artifact).value();
  size_t refused = 0;
  for (size_t i = 0; i < artifact.size(); ++i) {
    for (int flip : {0x01, 0x02, 0x04, 0x10, 0x80, 0xff}) {
      auto damaged = artifact;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      auto back = unpack(damaged);
      if (!back) {
        ++refused;
        continue;
      }
      EXPECT_EQ(back->tree.nodes, whole.tree.nodes) << "byte " << i;
      EXPECT_EQ(back->facts.terminal_output, whole.facts.terminal_output) << "byte " << i;
      EXPECT_EQ(back->facts.exit_code, 0) << "byte " << i;
    }
  }
  EXPECT_GT(refused, 6 * (artifact.size() - 20));
  for (size_t length = 0; length < artifact.size(); ++length)
    EXPECT_FALSE(unpack(artifact.substr(0, length))) << length;
  EXPECT_FALSE(unpack(artifact + artifact)) << "nx fails on a second member";
  EXPECT_FALSE(unpack(artifact + std::string(1, '\0')));
}

// The same behind the checksum of gzip: a tar with any byte changed may be another tree, but never one out of bounds,
// and never one that libarchive and the grammar see differently (that is what "refused" means then).
TEST(NxCodecTest, AChangedTarIsRefusedOrStaysInBounds) {
  MemorySource source(golden("nx-21.6.5.tar.gz"));
  Guard guard({}, ArchiveReaders::hitfs_only);
  GzipReader gzip(source, guard);
  std::string tar(64 << 10, '\0');
  size_t size = 0;
  while (auto got = gzip.read(std::as_writable_bytes(std::span(tar)).subspan(size)).value()) size += got;
  tar.resize(size);
  size_t taken = 0;
  for (size_t i = 0; i < tar.size(); i += 3) {
    auto changed = tar;
    changed[i] = '.';
    auto back = unpack(gzip_of(changed));
    if (!back) continue;
    ++taken;
    for (const auto& [path, node] : back->tree.nodes) {
      EXPECT_FALSE(path.starts_with('/'));
      EXPECT_EQ(("/" + path + "/").find("/../"), std::string::npos);
    }
  }
  EXPECT_GT(taken, 0u);
}

TEST(NxCodecTest, PassesTheErrorOfTheSinkOn) {
  class FullTree : public MemoryTree {
   public:
    Result<ByteSink*> begin_file(std::string_view, uint16_t, int64_t, std::optional<uint64_t>) override {
      return Error{Code::no_space, "disk full"};
    }
  };
  FullTree tree;
  MemorySource source(golden("nx-24.0.6.tar.gz"));
  auto facts = nx().unpack(source, tree);
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code, Code::no_space);
}

}  // namespace
}  // namespace hitfs
