// Strangers' archives: no input may crash, hang or use more memory than the limits; what is taken lies inside of the
// entry and comes back the same after it was packed again. The first byte of an input says how the rest is read:
//   0 an artifact of nx, 1 a flat artifact: as they are (few inputs pass the checksum of gzip)
//   2 a tar that becomes an nx artifact, 3 a tar that becomes a flat directory: gets behind the checksum of gzip
//   and with its highest bit set the checksums in the tar headers are made right: gets behind those as well
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "store/archive/gzip.h"
#include "store/codecs/codec.h"
#include "store/codecs/flat_mark.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/memory_tree.h"

namespace hitfs {
namespace {

using fuzz::promise;
using testing::MemorySink;
using testing::MemorySource;
using testing::MemoryTree;

GuardLimits small_limits() {
  GuardLimits limits;
  limits.unpacked_bytes = 8 << 20;
  limits.members = 1000;
  limits.name_bytes = 64 << 10;
  limits.terminal_output_bytes = 1 << 20;
  return limits;
}

std::string gzip_of(std::string_view bytes, const std::string& extra) {
  MemorySink sink;
  GzipWriter writer(sink, GuardLimits{}, extra);
  promise(writer.write(io::as_bytes(bytes)) && writer.finish(), "any bytes become a gzip");
  return sink.text;
}

// Walks a tar by its octal sizes and makes each header's checksum right.
void repair_checksums(std::string& tar) {
  for (size_t at = 0; at + 512 <= tar.size();) {
    std::string_view block = std::string_view(tar).substr(at, 512);
    if (block.find_first_not_of('\0') == std::string_view::npos) break;
    unsigned sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
    char text[9];
    std::snprintf(text, sizeof(text), "%06o", sum);
    size_t size = std::strtoul(std::string(block.substr(124, 12)).c_str(), nullptr, 8);
    tar.replace(at + 148, 8, std::string(text, 6) + std::string("\0 ", 2));
    at += 512 + std::min(size, tar.size()) / 512 * 512 + (size % 512 ? 512 : 0);
  }
}

// Whether a link at `depth` folders below the entry leads out of it, or could through another link.
bool leaves(std::string_view target, size_t depth) {
  if (target.empty() || target.starts_with('/')) return true;
  bool names = false;
  while (!target.empty()) {
    auto name = target.substr(0, target.find('/'));
    target.remove_prefix(std::min(name.size() + 1, target.size()));
    if (name == ".." && (names || depth-- == 0)) return true;
    names = names || (name != ".." && name != "." && !name.empty());
  }
  return false;
}

// What the guard promises, said once more in other words.
void expect_inside(const MemoryTree& tree) {
  uint64_t bytes = 0;
  promise(tree.nodes.size() <= 2 * small_limits().members, "the number of members is bounded");
  for (const auto& [path, node] : tree.nodes) {
    bytes += path.size() + node.bytes.size();
    promise((node.mode & ~0777) == 0, "nobody gets rights out of a cache", path);
    promise(path.find('\0') == std::string::npos && path.size() <= 4095, "a path is a path", path);
    std::string rooted = path.empty() ? "" : "/" + path + "/";
    for (const char* way_out : {"//", "/./", "/../"}) {
      promise(rooted.find(way_out) == std::string::npos, "no path leaves the entry", path);
    }
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      auto above = tree.nodes.find(path.substr(0, slash));
      bool folder = above == tree.nodes.end() || above->second.type == FileType::directory;
      promise(folder, "nothing lies below a link or a file", path);
    }
    size_t depth = static_cast<size_t>(std::count(path.begin(), path.end(), '/'));
    promise(node.type != FileType::symlink || !leaves(node.bytes, depth), "no link leaves the entry", path);
  }
  promise(bytes <= small_limits().unpacked_bytes + small_limits().name_bytes, "what is unpacked is bounded");
}

// Directories that are only implied stand in no member, but a manifest needs them.
void add_implied_directories(MemoryTree& tree) {
  auto paths = tree.nodes;
  if (!tree.nodes.contains("")) tree.nodes[""] = {FileType::directory, 0755, 0, ""};
  for (const auto& [path, node] : paths) {
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      tree.nodes.try_emplace(path.substr(0, slash), MemoryTree::Node{FileType::directory, 0755, 0, ""});
    }
  }
}

void expect_same_after_packing(const Codec& codec, const char* space, MemoryTree tree, const ArtifactFacts& facts) {
  add_implied_directories(tree);
  ManifestHeader header;
  header.key = {"", space, "1"};
  header.exit_code = facts.exit_code;
  if (facts.has_terminal_output) header.terminal_output = tree.keep(facts.terminal_output);
  auto manifest = tree.manifest(header);
  MemorySink packed;
  auto status = codec.pack(ManifestView::parse(io::as_bytes(manifest)).value(), tree, packed);
  if (!status) promise(false, "what was taken can be packed", status.error().message);
  MemorySource source(packed.text);
  MemoryTree again;
  auto facts_again = fuzz::value_of(codec.unpack(source, again), "what was packed is taken");
  promise(facts_again.exit_code == facts.exit_code, "the exit code stays");
  promise(facts_again.terminal_output == facts.terminal_output, "the terminal output stays");
  add_implied_directories(again);
  bool is_nx = std::string_view(space) == "nx";
  for (auto& [path, node] : tree.nodes) {
    if (is_nx) node.mtime_ns = std::max<int64_t>(node.mtime_ns, 0) / 1'000'000'000 * 1'000'000'000;
    if (!is_nx && path.empty() && node.type == FileType::file && node.mode == 0644) node.mtime_ns = 0;
  }
  if (is_nx) again.nodes[""] = tree.nodes[""];
  promise(again.nodes == tree.nodes, "the tree stays");
}

}  // namespace
}  // namespace hitfs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hitfs;
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  bool is_nx = data[0] % 2 == 0;
  if (data[0] % 4 >= 2 && data[0] & 0x80) repair_checksums(bytes);
  if (data[0] % 4 == 2) bytes = gzip_of(bytes, "");
  if (data[0] % 4 == 3) bytes = gzip_of(bytes, FlatMark{FlatMark::Kind::directory, 0755, 42, 0}.extra());
  const char* space = is_nx ? "nx" : "flat";
  auto codec = make_codec(space, small_limits());
  testing::MemorySource source(bytes, 1 + data[0] / 4 % 32 * 97);
  testing::MemoryTree tree;
  auto facts = codec->unpack(source, tree);
  if (!facts) return 0;
  expect_inside(tree);
  expect_same_after_packing(*codec, space, tree, *facts);
  return 0;
}
