#pragma once

#include <cstdint>

// Which inode number means what. The ranges never overlap, none is ever reused, and all lie below 2^53, so that they
// survive programs that keep them in a double. No table of inodes: a committed number is an entry's first number plus a
// position in its manifest, whoever asks.
namespace hitfs::fs {

using Number = uint64_t;

constexpr Number kRootNumber = 1;
// Committed: given by the store when an entry appears (store/README.md, Numbers).
constexpr Number kFirstCommitted = 1ull << 32;
constexpr Number kEndCommitted = 1ull << 52;
// Staging: given by this mount, counted up in names.log.
constexpr Number kFirstStaging = kEndCommitted;
constexpr Number kEndStaging = 1ull << 53;

[[nodiscard]] constexpr bool is_committed(Number number) { return number >= kFirstCommitted && number < kEndCommitted; }
[[nodiscard]] constexpr bool is_staging(Number number) { return number >= kFirstStaging && number < kEndStaging; }

}  // namespace hitfs::fs
