#include "store/index/numbers.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "store/base/io.h"

namespace hitfs {

namespace {

constexpr std::string_view kPrefix = "hitfs high-water ";

Result<uint64_t> parse(std::string_view text) {
  uint64_t value = 0;
  if (text.starts_with(kPrefix) && text.ends_with('\n')) {
    const char* first = text.data() + kPrefix.size();
    const char* last = text.data() + text.size() - 1;
    auto parsed = std::from_chars(first, last, value);
    if (parsed.ec == std::errc{} && parsed.ptr == last && value >= Numbers::kFirst) return value;
  }
  return Error{Code::corrupt, "the file is damaged"};
}

}  // namespace

Result<std::unique_ptr<Numbers>> Numbers::open(std::filesystem::path file, uint64_t at_least, Damage damage) {
  uint64_t next = std::max(kFirst, at_least);
  auto text = io::read_file(file, 128);
  if (text) {
    auto marked = parse(*text);
    if (!marked && damage == Damage::refuse) return in_context(file.string(), std::move(marked).error());
    if (marked) next = std::max(next, *marked);
  } else if (text.error().code != Code::not_found) {
    return std::move(text).error();
  }
  return std::unique_ptr<Numbers>(new Numbers(std::move(file), next));
}

void Numbers::start_at(uint64_t number) {
  auto state = state_.lock();
  state->next = std::max(state->next, number);
}

Result<uint64_t> Numbers::take(uint64_t count) {
  // The lock spans the write of a new block on purpose: nobody may use a number that is not reserved on disk. It
  // happens once in a million numbers.
  auto state = state_.lock();
  if (count > kEnd - state->next) {
    return Error{Code::no_space, "the store has used up its numbers; move to a new store folder"};
  }
  if (state->next + count > state->reserved) {
    uint64_t reserved = std::min(kEnd, state->next + std::max(count, kBlock));
    auto text = std::string(kPrefix) + std::to_string(reserved) + "\n";
    auto written = io::replace_file(file_, io::as_bytes(text), "high-water");
    if (!written) return in_context("reserve numbers", std::move(written).error());
    state->reserved = reserved;
  }
  uint64_t first = state->next;
  state->next += count;
  return first;
}

}  // namespace hitfs
