#include "store/archive/utf8.h"

#include <cstddef>

namespace hitfs {

bool is_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    if (lead < 0xc2 || lead > 0xf4) return false;
    int following = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    // The second byte has a narrower range after these leads: overlong forms, surrogates, beyond U+10FFFF.
    unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    for (; following > 0; --following) {
      if (i == text.size()) return false;
      auto next = static_cast<unsigned char>(text[i++]);
      if (next < low || next > high) return false;
      low = 0x80;
      high = 0xbf;
    }
  }
  return true;
}

}  // namespace hitfs
