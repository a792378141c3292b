#pragma once

#include <algorithm>
#include <string_view>

namespace hitfs {

// Header names, methods of authentication and host names do not tell letter cases apart; ASCII only.
[[nodiscard]] inline bool equal_ignoring_case(std::string_view one, std::string_view other) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [&](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace hitfs
