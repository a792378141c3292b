#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "store/archive/guard.h"
#include "store/base/result.h"
#include "store/manifest.h"
#include "store/stream.h"

// Artifact <-> tree, one Codec per wire format. An artifact comes from strangers: every codec reads it through the one
// archive guard (store/archive/guard.h). The formats are in store/README.md, section Codecs.
namespace hitfs {

// Receives the members of an unpacked artifact in the order of the artifact. Paths are relative, checked by the guard,
// with '/' between names and never empty, no file and no link comes twice. Directories that no member names are implied
// by what they hold (0755); a directory may come after what it holds and more than once: the last attributes count.
// One caller at a time. Nothing is complete before Codec::unpack() has returned without an error.
class TreeSink {
 public:
  virtual ~TreeSink() = default;
  // Attributes of the entry itself; at most once, before anything else. Without it the entry is a directory, 0755,
  // time 0. `is_file`: the entry is one file, whose bytes come as begin_file("").
  virtual Status root(bool is_file, uint16_t mode, int64_t mtime_ns) = 0;
  virtual Status directory(std::string_view path, uint16_t mode, int64_t mtime_ns) = 0;
  virtual Status symlink(std::string_view path, std::string_view target, int64_t mtime_ns) = 0;
  // The bytes of the file follow through the returned sink, exactly `size` of them where that is known, then
  // end_file(), before any other call. The sink belongs to the TreeSink.
  virtual Result<ByteSink*> begin_file(std::string_view path, uint16_t mode, int64_t mtime_ns,
                                       std::optional<uint64_t> size) = 0;
  virtual Status end_file() = 0;
};

// What an artifact says besides its tree.
struct ArtifactFacts {
  int32_t exit_code = 0;
  std::string terminal_output;  // bounded by the guard
  bool has_terminal_output = false;
};

// Gives the bytes behind a manifest's contents. Safe to ask again; one reader per source.
class ContentSource {
 public:
  virtual ~ContentSource() = default;
  virtual Result<std::unique_ptr<ByteSource>> open(const Content& content) = 0;
};

// One wire format. Stateless, safe from several threads.
class Codec {
 public:
  virtual ~Codec() = default;

  enum class Recognised {
    yes,      // ours: unpack() decides whether it is whole
    unknown,  // a format of tomorrow: kept exactly and served, never unpacked
    damaged,  // no artifact of any day (empty, an error page, text): refused
  };
  // Decides by the first bytes (kPrefix of them, or fewer at the end of a short artifact).
  static constexpr size_t kPrefix = 4096;
  [[nodiscard]] virtual Recognised recognise(std::span<const std::byte> prefix) const = 0;

  // Reads a whole artifact, to its end, so that a cut body is seen. `corrupt`: damaged or against a rule of the guard,
  // with the rule in the message; nothing of it may be kept. Errors of `artifact` and `into` pass through unchanged.
  virtual Result<ArtifactFacts> unpack(ByteSource& artifact, TreeSink& into) const = 0;

  // Writes the deterministic artifact of `tree`: a function of the manifest (its header's exit code and terminal output
  // included), golden bytes in tests/golden. `invalid_argument` names what of the tree the format cannot carry;
  // `corrupt` a content that does not have the bytes of its digest: what was written so far must be thrown away then.
  virtual Status pack(const ManifestView& tree, ContentSource& contents, ByteSink& into) const = 0;
};

// The codec of a namespace, with the guard's default limits: "nx" has the Nx artifact, every other one the flat form
// (file bytes or marked tar.gz). Lives as long as the process.
[[nodiscard]] const Codec& codec_for(std::string_view space);
// The same with limits of one's own.
[[nodiscard]] std::unique_ptr<Codec> make_codec(std::string_view space, const GuardLimits& limits);

}  // namespace hitfs
