#include "store/layouts/name_pattern.h"

#include <locale.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string_view>

namespace hitfs {

namespace {

constexpr size_t kMaxPattern = 1024;
constexpr size_t kMaxName = 255;
constexpr int kMaxCount = 255;
constexpr int kMaxCopies = 4096;
constexpr size_t kMaxCopiedBytes = 1 << 18;  // copies x length: what bounds the memory of a compiled pattern

// The larger number in "{3,5}", whose '{' stands at `at`, which is moved to its end; none when one is beyond kMaxCount.
std::optional<int> count_at(std::string_view pattern, size_t& at) {
  int largest = 1;
  int count = 0;
  for (++at; at < pattern.size() && pattern[at] != '}'; ++at) {
    count = std::isdigit(static_cast<unsigned char>(pattern[at])) ? count * 10 + (pattern[at] - '0') : 0;
    if (count > kMaxCount) return std::nullopt;
    largest = std::max(largest, count);
  }
  return largest;
}

// Why a pattern is refused although the C library would take it; none when it is fine.
std::optional<std::string_view> trouble(std::string_view pattern) {
  if (pattern.size() > kMaxPattern) return "longer than 1024 bytes";
  if (pattern.find('\0') != std::string_view::npos) return "has a NUL byte";
  bool repeats_copies = false;
  int copies = 1;  // the product of all counts: what nested ones can amount to
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') {
      if (++i < pattern.size() && std::isdigit(static_cast<unsigned char>(pattern[i]))) return "has a back-reference";
      continue;
    }
    if (pattern[i] != '{' && pattern[i] != '+') continue;
    // What is repeated here may be many copies already; the C library makes "x+" two.
    bool nested = i > 0 && std::string_view(")}+*?").find(pattern[i - 1]) != std::string_view::npos;
    repeats_copies = repeats_copies || nested;
    auto count = pattern[i] == '{' ? count_at(pattern, i) : std::optional(nested ? 2 : 1);
    if (!count) return "has a repetition count beyond 255";
    copies = std::min(copies * *count, kMaxCopies + 1);
  }
  if (repeats_copies && copies > kMaxCopies) return "repeats groups with counts that come to more than 4096";
  if (repeats_copies && static_cast<size_t>(copies) * pattern.size() > kMaxCopiedBytes) return "is too large, repeated";
  return std::nullopt;
}

Error wrong(std::string_view pattern, std::string_view why) {
  return {Code::invalid_argument, "pattern \"" + std::string(pattern.substr(0, kMaxPattern)) + "\" " +
                                      std::string(why) + "; it is a POSIX extended regular expression for whole names"};
}

// Compiles with the character set of the locale "C", which makes it a pattern of bytes for good.
int compile_bytes(regex_t& regex, const char* pattern) {
  static const locale_t kBytes = ::newlocale(LC_ALL_MASK, "C", static_cast<locale_t>(nullptr));
  locale_t before = ::uselocale(kBytes);
  int code = ::regcomp(&regex, pattern, REG_EXTENDED);
  ::uselocale(before);
  return code;
}

}  // namespace

Result<NamePattern> NamePattern::compile(const std::string& pattern) {
  if (auto why = trouble(pattern)) return wrong(pattern, *why);
  regex_t compiled;
  if (int code = compile_bytes(compiled, pattern.c_str()); code != 0) {
    std::array<char, 128> text{};
    ::regerror(code, &compiled, text.data(), text.size());
    return wrong(pattern, std::string("is not valid (") + text.data() + ")");
  }
  auto free_regex = [](const regex_t* regex) {
    ::regfree(const_cast<regex_t*>(regex));
    delete regex;
  };
  return NamePattern(std::shared_ptr<const regex_t>(new regex_t(compiled), free_regex));
}

bool NamePattern::matches(const std::string& name) const {
  if (name.empty() || name.size() > kMaxName || name.find('\0') != std::string::npos) return false;
  regmatch_t whole{};
  if (::regexec(regex_.get(), name.c_str(), 1, &whole, 0) != 0) return false;
  return whole.rm_so == 0 && static_cast<size_t>(whole.rm_eo) == name.size();
}

}  // namespace hitfs
