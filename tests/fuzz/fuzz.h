#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

// What every fuzzer needs: a way to say what must hold, and values off the front of an input.
namespace hitfs::fuzz {

// A promise that does not hold ends the fuzzer as a crash does: libFuzzer keeps the input.
inline void promise(bool holds, std::string_view what, std::string_view why = "") {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %.*s %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(why.size()), why.data());
  std::abort();
}

// The value of a Result that must have one.
template <typename Outcome>
auto value_of(Outcome outcome, std::string_view what) {
  if (!outcome) promise(false, what, outcome.error().message);
  return *std::move(outcome);
}

// An input, read from its front; beyond its end everything is zero and empty.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  template <typename Number>
  Number number() {
    Number value{};
    size_t count = std::min(rest_.size(), sizeof(value));
    std::memcpy(&value, rest_.data(), count);
    rest_.remove_prefix(count);
    return value;
  }
  std::string_view text(size_t length) {
    auto taken = rest_.substr(0, length);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  // Up to the next line feed, which is not part of it.
  std::string_view line() {
    auto taken = text(std::min(rest_.find('\n'), rest_.size()));
    text(1);
    return taken;
  }
  std::string_view all() { return text(rest_.size()); }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace hitfs::fuzz
