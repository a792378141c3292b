#pragma once

#include "store/codecs/codec.h"

namespace hitfs {

// How an entry of layout `flat` travels. A file without execute permission travels as its bytes (and arrives with mode
// 0644 and time 0); a directory, an executable file, and a file whose bytes begin like a marked artifact travel as a
// gzip with our mark in FEXTRA, so that nothing of them is lost. The grammar is in store/README.md, section Flat
// artifact. Only hitfs reads the marked form; `tar xzf` can, too.
class FlatCodec : public Codec {
 public:
  explicit FlatCodec(const GuardLimits& limits) : limits_(limits) {}

  // Without the mark, any bytes are a file. A mark of a newer version is a format of tomorrow.
  [[nodiscard]] Recognised recognise(std::span<const std::byte> prefix) const override;
  Result<ArtifactFacts> unpack(ByteSource& artifact, TreeSink& into) const override;
  Status pack(const ManifestView& tree, ContentSource& contents, ByteSink& into) const override;

 private:
  GuardLimits limits_;
};

}  // namespace hitfs
