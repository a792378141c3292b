#pragma once

#include "store/codecs/codec.h"

namespace hitfs {

// The artifact of the Nx self-hosted remote cache: one gzip member around one tar with the tree below `<hash>/`, then
// the members `terminalOutput` (text) and `code` (4 bytes, big-endian). Measured with nx 20.8 to 24.0 (store/README.md,
// section Nx artifact). It is served byte for byte, so unpack() accepts only what each of these versions reads, and
// reads alike; pack() writes the form that all of them accept. A non-zero exit code is given to the caller, who must
// not serve it: nx before 23 takes it for a success.
class NxCodec : public Codec {
 public:
  explicit NxCodec(const GuardLimits& limits) : limits_(limits) {}

  // gzip is ours. Other containers known today by their first bytes (zstd, xz, bzip2, lz4, zip) are a format of
  // tomorrow. All else, an empty body and a plain tar too, makes every nx version fail the build: damaged.
  [[nodiscard]] Recognised recognise(std::span<const std::byte> prefix) const override;
  Result<ArtifactFacts> unpack(ByteSource& artifact, TreeSink& into) const override;
  Status pack(const ManifestView& tree, ContentSource& contents, ByteSink& into) const override;

 private:
  GuardLimits limits_;
};

}  // namespace hitfs
