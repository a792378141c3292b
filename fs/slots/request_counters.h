#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "fs/slots/slots.h"

namespace hitfs::fs {

// What the kernel asked since the mount was made, over all its workers: read by `hitfs status` and by benches. A value.
struct RequestCounts {
  std::map<std::string, uint64_t> by_operation;  // "LOOKUP" -> 12; operations never asked for are left out
  uint64_t total = 0;
  uint64_t failed = 0;    // answered with EIO
  uint64_t workers = 0;   // that served this mount; one more than restarts
  uint64_t settled = 0;   // carried out again after a worker's death
  uint64_t resent = 0;    // answered with a dead worker's stored reply
  uint64_t poisoned = 0;  // given up because they brought workers down
  uint64_t parked = 0;    // waiting now

  [[nodiscard]] uint64_t of(const std::string& operation) const;
};

[[nodiscard]] RequestCounts count_requests(const SlotMemory& memory);

// "LOOKUP" for 1; "OPCODE_99" for one that this version has no name for.
[[nodiscard]] std::string operation_name(uint32_t opcode);

}  // namespace hitfs::fs
