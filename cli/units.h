#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/clock.h"
#include "store/base/result.h"

// Quantities as people write them; every `invalid_argument` shows how to write it.
namespace hitfs {

// "20GB" (10^9), "20GiB" (2^30), "512M" (as MiB), "1048576" (bytes), "0".
Result<uint64_t> parse_size(std::string_view text);
// "10s", "500ms", "2m", "1h", "1m30s", "0".
Result<Milliseconds> parse_duration(std::string_view text);
// true, yes, on, 1; false, no, off, 0.
Result<bool> parse_switch(std::string_view text);
// A decimal number within the limits.
Result<int64_t> parse_number(std::string_view text, int64_t least, int64_t most);

// "1.2 GB"
[[nodiscard]] std::string format_size(uint64_t bytes);
// "9.8 s"
[[nodiscard]] std::string format_seconds(Milliseconds duration);
// As parse_duration reads it: "1m30s"
[[nodiscard]] std::string format_duration(Milliseconds duration);
// Local time: "2026-11-21 09:05:00"
[[nodiscard]] std::string format_time(int64_t unix_ms);

// The word nearest to `text`, for "did you mean"; "" when none is near.
[[nodiscard]] std::string nearest(std::string_view text, const std::vector<std::string>& words);

}  // namespace hitfs
