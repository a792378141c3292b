#pragma once

#include <regex.h>

#include <memory>
#include <string>

#include "store/base/result.h"

namespace hitfs {

// A POSIX extended regular expression that must match a whole name, byte by byte whatever the locale is. Safe from
// several threads.
//
// <regex.h> of the C library: std::regex throws and recurses once per character, and a library of its own (RE2) is not
// worth it for names of 255 bytes. POSIX's leftmost-longest rule gives the whole match without wrapping the pattern,
// so that `a|b` means what it says. What makes it slow or greedy for memory is refused: back-references, patterns
// beyond 1,024 bytes, repetition counts beyond 255 and repeated groups (or repetitions) whose nested counts, a '+'
// counting as 2, come with the pattern's length to more than 8,192.
class NamePattern {
 public:
  // `invalid_argument` says what is wrong with the pattern.
  static Result<NamePattern> compile(const std::string& pattern);
  [[nodiscard]] bool matches(const std::string& name) const;

 private:
  explicit NamePattern(std::shared_ptr<const regex_t> regex) : regex_(std::move(regex)) {}
  std::shared_ptr<const regex_t> regex_;
};

}  // namespace hitfs
