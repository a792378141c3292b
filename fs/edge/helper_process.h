#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <span>
#include <string_view>

#include "store/base/result.h"

namespace hitfs::fs {

// Processes that a worker forks for what its own threads must never wait for. They are known by the names that they
// give themselves (at most 15 bytes, comm in /proc): one that outlives its worker becomes a child of the supervisor.
inline constexpr std::string_view kNotifyHelper = "hitfs-notify";
inline constexpr std::string_view kUndertakerHelper = "hitfs-undertake";
inline constexpr std::string_view kCloseWatchHelper = "hitfs-closes";
inline constexpr std::array kHelpers{kNotifyHelper, kUndertakerHelper, kCloseWatchHelper};

// Forks: call it before the process has threads. The child ignores signals from a terminal, keeps stderr and `kept`
// (whose new numbers `life` gets, in the same order), and ends when `life` returns. Gives its number.
Result<pid_t> fork_helper(std::string_view name, std::span<const int> kept,
                          const std::function<void(std::span<const int>)>& life);

}  // namespace hitfs::fs
