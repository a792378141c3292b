#pragma once

#include <locale.h>

#include <clocale>

namespace hitfs {

// While it lives, this thread's character set is UTF-8, whatever the process was started with: libarchive would warn
// of, or change, names in pax headers otherwise. glibc has C.UTF-8 built in since 2.35. Other threads see nothing.
class Utf8Locale {
 public:
  Utf8Locale() : before_(::uselocale(utf8())) {}
  ~Utf8Locale() { ::uselocale(before_); }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  // Made once and kept; where it is missing, the thread's own stays.
  static locale_t utf8() {
    static const locale_t kLocale = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", static_cast<locale_t>(nullptr));
    return kLocale;
  }
  locale_t before_;
};

}  // namespace hitfs
