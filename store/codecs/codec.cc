#include "store/codecs/codec.h"

#include "store/codecs/flat_codec.h"
#include "store/codecs/nx_codec.h"

namespace hitfs {

const Codec& codec_for(std::string_view space) {
  static const NxCodec kNx{GuardLimits{}};
  static const FlatCodec kFlat{GuardLimits{}};
  if (space == "nx") return kNx;
  return kFlat;
}

std::unique_ptr<Codec> make_codec(std::string_view space, const GuardLimits& limits) {
  if (space == "nx") return std::make_unique<NxCodec>(limits);
  return std::make_unique<FlatCodec>(limits);
}

}  // namespace hitfs
