#include "tests/drills/call_tally.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>

namespace hitfs::testing {

namespace {

constexpr std::array<const char*, kCalls> kNames{
    "open",   "read",   "map",   "stat",  "look for missing", "list",     "create", "write", "truncate",
    "rename", "unlink", "mkdir", "rmdir", "symlink",          "readlink", "chmod",  "sync"};

}  // namespace

void CallTally::tell(std::string_view what) {
  if (told.exchange(true)) return;
  what = what.substr(0, first_failure.size() - 1);
  std::copy(what.begin(), what.end(), first_failure.begin());
}

uint64_t CallTally::made() const {
  uint64_t sum = 0;
  for (const auto& kind : kinds) sum += kind.made;
  return sum;
}

uint64_t CallTally::failed() const {
  uint64_t sum = 0;
  for (const auto& kind : kinds) sum += kind.failed;
  return sum;
}

std::string describe(const CallTally& tally) {
  std::string text;
  for (size_t i = 0; i < kCalls; ++i) {
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", kNames[i], tally.kinds[i].made.load());
  }
  return text;
}

void say(const std::string& line) {
  fmt::print("[ drill    ] {}\n", line);
  std::fflush(stdout);
}

}  // namespace hitfs::testing
