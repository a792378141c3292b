#include "store/layouts/name_pattern.h"

#include <locale.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string_view>
#include <vector>

namespace hitfs {

namespace {

constexpr size_t kMaxPattern = 1024;
constexpr size_t kMaxName = 255;
constexpr int kMaxCount = 255;
// Copies x length. The C library's time and memory grow with its square: at most half a second (measured).
constexpr size_t kMaxCopiedBytes = 8192;

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

// The last byte of "[^]a[:alpha:]]", whose first stands at `at`.
size_t end_of_bracket(std::string_view pattern, size_t at) {
  size_t end = at + 1;
  if (end < pattern.size() && pattern[end] == '^') ++end;
  if (end < pattern.size() && pattern[end] == ']') ++end;
  for (; end < pattern.size() && pattern[end] != ']'; ++end) {
    if (pattern[end] != '[' || end + 1 == pattern.size() ||
        std::string_view(":.=").find(pattern[end + 1]) == std::string_view::npos)
      continue;
    const char close[] = {pattern[end + 1], ']'};
    auto closed = pattern.find(std::string_view(close, 2), end + 2);
    if (closed == std::string_view::npos) break;
    end = closed + 1;
  }
  return end;
}

// Counts how many copies the C library makes of one piece of a pattern: counts multiply where something repeated is
// repeated.
class Copies {
 public:
  void plain() {
    piece_ = 1;
    repeatable_ = false;
  }
  void open() {
    around_.push_back(inside_);
    inside_ = 1;
    plain();
  }
  void close() {
    repeatable_ = true;
    if (around_.empty()) return;
    piece_ = inside_;
    inside_ = std::max(around_.back(), piece_);
    around_.pop_back();
  }
  // "*" and "?" make none, but what they stand behind may be repeated again.
  void repeat(size_t count) {
    if (count > 1 && repeatable_) repeats_ = true;
    piece_ = std::min(piece_ * count, kMaxCopiedBytes + 1);
    inside_ = std::max(inside_, piece_);
    most_ = std::max(most_, piece_);
    repeatable_ = true;
  }
  // The library makes "x+" two, which counts only where x was repeated already.
  void repeat_plus() { repeat(repeatable_ ? 2 : 1); }

  [[nodiscard]] bool too_many(size_t length) const { return repeats_ && most_ * length > kMaxCopiedBytes; }

 private:
  std::vector<size_t> around_;  // the most in each group around this place
  size_t inside_ = 1;           // the most in this group
  size_t piece_ = 1;            // of what stands before this place
  size_t most_ = 1;
  bool repeatable_ = false;  // what stands before this place is a group or repeated
  bool repeats_ = false;
};

// Why a pattern is refused although the C library would take it; none when it is fine.
std::optional<std::string_view> trouble(std::string_view pattern) {
  if (pattern.size() > kMaxPattern) return "longer than 1024 bytes";
  if (pattern.find('\0') != std::string_view::npos) return "has a NUL byte";
  Copies copies;
  for (size_t i = 0; i < pattern.size(); ++i) {
    switch (pattern[i]) {
      case '\\':
        if (++i < pattern.size() && std::isdigit(static_cast<unsigned char>(pattern[i]))) return "has a back-reference";
        copies.plain();
        break;
      case '[':
        i = end_of_bracket(pattern, i);
        copies.plain();
        break;
      case '(': copies.open(); break;
      case ')': copies.close(); break;
      case '*':
      case '?': copies.repeat(1); break;
      case '+': copies.repeat_plus(); break;
      case '{': {
        auto count = count_at(pattern, i);
        if (!count) return "has a repetition count beyond 255";
        copies.repeat(static_cast<size_t>(*count));
        break;
      }
      default: copies.plain();
    }
  }
  if (copies.too_many(pattern.size())) return "repeats groups or repetitions whose counts and length come to too much";
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
