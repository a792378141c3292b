#include "cli/units.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <limits>
#include <numeric>
#include <utility>

namespace hitfs {

namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr Unit kSizes[] = {{"", 1},
                           {"B", 1},
                           {"K", 1ull << 10},
                           {"M", 1ull << 20},
                           {"G", 1ull << 30},
                           {"T", 1ull << 40},
                           {"KB", 1000},
                           {"MB", 1'000'000},
                           {"GB", 1'000'000'000},
                           {"TB", 1'000'000'000'000},
                           {"KiB", 1ull << 10},
                           {"MiB", 1ull << 20},
                           {"GiB", 1ull << 30},
                           {"TiB", 1ull << 40}};
constexpr Unit kDurations[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

// One "12.5GB" at the front of `text`, which it is taken from.
template <size_t Count>
bool take(std::string_view& whole, const Unit (&units)[Count], uint64_t& total) {
  auto text = whole;
  double number = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (failure != std::errc() || !(number >= 0) || number > 1e15) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  auto length = std::min(text.find_first_of("0123456789 "), text.size());
  auto word = text.substr(0, length);
  auto unit =
      std::find_if(std::begin(units), std::end(units), [&](const Unit& one) { return same_word(one.name, word); });
  if (unit == std::end(units)) return false;
  auto value = number * static_cast<double>(unit->factor);
  if (value > 9e18 - static_cast<double>(total)) return false;
  total += static_cast<uint64_t>(value);
  whole = text.substr(length);
  return true;
}

Error wrong(std::string_view text, std::string_view how) {
  return Error{Code::invalid_argument, fmt::format("\"{}\": {}", text, how)};
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
  auto rest = text;
  uint64_t total = 0;
  if (take(rest, kSizes, total) && rest.empty()) return total;
  return wrong(text, "write a size such as 20GB, 512MiB or 0");
}

Result<Milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return Milliseconds(0);
  auto rest = text;
  uint64_t total = 0;
  while (!rest.empty()) {
    if (!take(rest, kDurations, total)) break;
  }
  if (text.empty() || !rest.empty() || total > 366ull * 86'400'000) {
    return wrong(text, "write a duration such as 10s, 500ms, 1m30s or 0");
  }
  return Milliseconds(total);
}

Result<bool> parse_switch(std::string_view text) {
  for (auto word : {"true", "yes", "on", "1"}) {
    if (same_word(text, word)) return true;
  }
  for (auto word : {"false", "no", "off", "0"}) {
    if (same_word(text, word)) return false;
  }
  return wrong(text, "write true or false");
}

Result<int64_t> parse_number(std::string_view text, int64_t least, int64_t most) {
  int64_t number = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure == std::errc() && end == text.data() + text.size() && number >= least && number <= most) return number;
  return wrong(text, fmt::format("write a number from {} to {}", least, most));
}

std::string format_size(uint64_t bytes) {
  constexpr std::pair<const char*, double> kUnits[] = {{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}};
  for (const auto& [name, factor] : kUnits) {
    if (static_cast<double>(bytes) >= factor)
      return fmt::format("{:.1f} {}", static_cast<double>(bytes) / factor, name);
  }
  return fmt::format("{} bytes", bytes);
}

std::string format_seconds(Milliseconds duration) {
  return fmt::format("{:.1f} s", static_cast<double>(duration.count()) / 1000);
}

std::string format_duration(Milliseconds duration) {
  auto left = duration.count();
  if (left == 0) return "0";
  std::string text;
  for (const auto& [name, factor] : {std::pair("h", 3'600'000), std::pair("m", 60'000), std::pair("s", 1000)}) {
    if (left >= factor) text += fmt::format("{}{}", left / factor, name);
    left %= factor;
  }
  if (left > 0) text += fmt::format("{}ms", left);
  return text;
}

namespace {

// Levenshtein's distance.
size_t distance(std::string_view left, std::string_view right) {
  std::vector<size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < left.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < right.size(); ++j) {
      size_t changed = diagonal + (left[i] == right[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[right.size()];
}

}  // namespace

std::string format_time(int64_t unix_ms) {
  auto seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", parts);
}

std::string nearest(std::string_view text, const std::vector<std::string>& words) {
  std::string best;
  size_t least = std::max<size_t>(2, text.size() / 3) + 1;
  for (const auto& word : words) {
    auto far = distance(text, word);
    if (far < least) {
      least = far;
      best = word;
    }
  }
  return best;
}

}  // namespace hitfs
