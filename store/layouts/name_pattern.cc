#include "store/layouts/name_pattern.h"

#include <locale.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace hitfs {

namespace {

constexpr size_t kMaxPattern = 1024;
constexpr size_t kMaxName = 255;
constexpr int kMaxCount = 255;
// Copies x length. The C library's time and memory grow with its square: at most half a second (measured).
constexpr size_t kMaxCopiedBytes = 8192;
// After a backslash: places in a name, as ^ and $ are.
constexpr std::string_view kPlaces = "`'<>bB";
// Ways without a byte x length: at most a quarter of a second (measured).
constexpr size_t kMaxEmptyWays = 1 << 14;
// And where there are places, behind which the library doubles what it goes.
constexpr size_t kMaxWaysBehindPlaces = 8;

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

// Counts in how many ways a pattern can be passed without a byte, part upon part: within something repeated the C
// library goes each of them.
class EmptyWays {
 public:
  void plain() { begin({0, 1}); }
  void place() { begin({1, 1, true}); }
  void open() {
    begin({1, 1});
    around_.push_back({sequence_, alternatives_});
    sequence_ = {1, 1};
    alternatives_ = {0, 1};
  }
  void alternative() {
    begin({1, 1});
    alternatives_ = {add(alternatives_.empty, sequence_.empty), std::max(alternatives_.parts, sequence_.parts),
                     alternatives_.place || sequence_.place};
    sequence_ = {1, 1};
  }
  void close() {
    if (around_.empty()) return plain();
    alternative();
    piece_ = alternatives_;
    std::tie(sequence_, alternatives_) = around_.back();
    around_.pop_back();
  }
  void optional() { repeated({add(piece_.empty, 1), piece_.parts}); }
  void plus() { repeated({multiply(piece_.empty, add(piece_.empty, 1)), multiply(piece_.parts, piece_.parts)}); }
  void times(size_t count) {
    Ways ways{1, 1};
    for (size_t i = 0; i < count; ++i) {
      ways = {add(multiply(ways.empty, piece_.empty), 1), multiply(ways.parts, piece_.parts)};
    }
    repeated(ways);
  }

  [[nodiscard]] bool too_many(size_t length) {
    while (!around_.empty()) close();
    alternative();
    auto most = alternatives_.place ? kMaxWaysBehindPlaces : kMaxEmptyWays / std::max<size_t>(length, 1);
    return alternatives_.parts > most;
  }

 private:
  struct Ways {
    size_t empty;        // through the whole of it
    size_t parts;        // through its parts, were they all passed without a byte
    bool place = false;  // has one in it: repeated, the C library doubles what is behind it
  };
  static size_t add(size_t one, size_t other) { return std::min(one + other, kMaxEmptyWays + 1); }
  static size_t multiply(size_t one, size_t other) { return std::min(one * other, kMaxEmptyWays + 1); }
  void begin(Ways piece) {
    sequence_ = {multiply(sequence_.empty, piece_.empty), multiply(sequence_.parts, piece_.parts),
                 sequence_.place || piece_.place};
    piece_ = piece;
  }
  void repeated(Ways ways) {
    size_t parts = piece_.place ? kMaxEmptyWays + 1 : std::max(ways.parts, ways.empty);
    piece_ = {ways.empty, parts, piece_.place};
  }

  std::vector<std::pair<Ways, Ways>> around_;
  Ways sequence_{1, 1};      // what stands before the piece in its group
  Ways alternatives_{0, 1};  // what stands before the last '|'
  Ways piece_{1, 1};         // the last one
};

// Why a pattern is refused although the C library would take it; none when it is fine.
std::optional<std::string_view> trouble(std::string_view pattern) {
  if (pattern.size() > kMaxPattern) return "longer than 1024 bytes";
  if (pattern.find('\0') != std::string_view::npos) return "has a NUL byte";
  Copies copies;
  EmptyWays ways;
  for (size_t i = 0; i < pattern.size(); ++i) {
    switch (pattern[i]) {
      case '(':
        copies.open();
        ways.open();
        continue;
      case ')':
        copies.close();
        ways.close();
        continue;
      case '|': ways.alternative(); break;
      case '*':
      case '?':
        copies.repeat(1);
        ways.optional();
        continue;
      case '+':
        copies.repeat_plus();
        ways.plus();
        continue;
      case '{': {
        auto count = count_at(pattern, i);
        if (!count) return "has a repetition count beyond 255";
        copies.repeat(static_cast<size_t>(*count));
        ways.times(static_cast<size_t>(*count));
        continue;
      }
      case '\\':
        if (++i < pattern.size() && std::isdigit(static_cast<unsigned char>(pattern[i]))) return "has a back-reference";
        i < pattern.size() && kPlaces.find(pattern[i]) != std::string_view::npos ? ways.place() : ways.plain();
        break;
      case '^':
      case '$': ways.place(); break;
      case '[':
        i = end_of_bracket(pattern, i);
        ways.plain();
        break;
      default: ways.plain();
    }
    copies.plain();
  }
  if (copies.too_many(pattern.size())) return "repeats groups or repetitions whose counts and length come to too much";
  if (ways.too_many(pattern.size()))
    return "repeats a place (^, $) or optional parts of optional parts, which come to too much";
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
