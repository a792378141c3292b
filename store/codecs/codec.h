#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/result.h"
#include "store/manifest.h"
#include "store/stream.h"

// Artifact <-> tree, one Codec per wire format. An artifact comes from strangers: every codec reads it through the one
// archive guard (store/archive/guard.h).
namespace hitfs {

// Receives the members of an unpacked artifact in the order of the artifact. Paths are relative, checked by the guard,
// with '/' between names and never empty; a directory comes before what it holds, or is implied by it (0755).
class TreeSink {
 public:
  virtual ~TreeSink() = default;
  // Attributes of the entry itself; at most once. `is_file`: the entry is one file, whose bytes come as file("").
  virtual Status root(bool is_file, uint16_t mode, int64_t mtime_ns) = 0;
  virtual Status directory(std::string_view path, uint16_t mode, int64_t mtime_ns) = 0;
  virtual Status symlink(std::string_view path, std::string_view target, int64_t mtime_ns) = 0;
  // The bytes of the file follow through the returned sink, exactly `size` of them, before any other call. The sink
  // belongs to the TreeSink.
  virtual Result<ByteSink*> file(std::string_view path, uint16_t mode, int64_t mtime_ns, uint64_t size) = 0;
};

// What an artifact says besides its tree.
struct ArtifactFacts {
  int32_t exit_code = 0;
  std::string terminal_output;  // bounded by the guard
  bool has_terminal_output = false;
};

// Gives the contents of a tree's files while it is packed.
class ContentSource {
 public:
  virtual ~ContentSource() = default;
  virtual Result<std::unique_ptr<ByteSource>> open(const ManifestRecord& file) = 0;
};

// One wire format. Stateless, safe from several threads.
class Codec {
 public:
  virtual ~Codec() = default;

  enum class Recognised { yes, unknown };
  // Decides by the first bytes (kPrefix of them, or fewer at the end of a short artifact) whether this is our format.
  // `unknown` is a format of tomorrow: kept exactly, never unpacked.
  static constexpr size_t kPrefix = 4096;
  [[nodiscard]] virtual Recognised recognise(std::span<const std::byte> prefix) const = 0;

  // Reads a whole artifact. `corrupt`: damaged or against a rule of the guard, with the rule in the message; nothing of
  // it may be kept. Reads to the end of `artifact`, so that a cut body is seen.
  virtual Result<ArtifactFacts> unpack(ByteSource& artifact, TreeSink& into) const = 0;

  // Writes the deterministic artifact of `tree`: a function of the manifest, golden bytes in tests/golden.
  virtual Status pack(const ManifestView& tree, ContentSource& contents, ByteSink& into) const = 0;
};

// The codec of a namespace: "nx" has the Nx artifact, every other one the flat form (file bytes or marked tar.gz).
// Lives as long as the process.
[[nodiscard]] const Codec& codec_for(std::string_view space);

}  // namespace hitfs
