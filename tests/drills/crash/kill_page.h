#pragma once

#include <array>
#include <atomic>
#include <cstdint>

// What a test and a process that it kills share: a page of memory. The process is any program of hitfs, started with
// LD_PRELOAD=libcrash_tap.so (kill_tap.cc), HITFS_DRILL_PAGE (the file of the page) and HITFS_DRILL_FOLDER (the store).
namespace hitfs::testing {

// What a change of the store belongs to.
enum class Phase : uint32_t {
  body_receive,
  blob_rename,
  index_transaction,
  push_acknowledgement,
  eviction,
  run_list_write,
  overlay_copy_up,
  access_log,
  other,
};
inline constexpr size_t kPhases = 9;
inline constexpr std::array<const char*, kPhases> kPhaseNames = {
    "body receive",         "blob rename", "index transaction",
    "push acknowledgement", "eviction",    "run-list write",
    "overlay copy-up",      "access log",  "other"};

struct KillPage {
  static constexpr uint32_t kAnyPhase = kPhases;
  static constexpr uint32_t kNone = kPhases + 1;

  // Set by the test: the process kills itself at the `countdown`-th system call of this phase, before it, or when it
  // has written half of the bytes, or after it.
  enum class Moment : uint32_t { before, half, after };
  std::atomic<uint32_t> armed{kNone};
  std::atomic<Moment> moment{Moment::before};
  std::atomic<int32_t> countdown{0};

  // Set by the process.
  std::atomic<uint32_t> died_in{kNone};                       // the phase in which it killed itself
  std::array<std::atomic<uint32_t>, kPhases> under_way{};     // system calls of each phase that have begun, not ended
  std::array<std::atomic<uint64_t>, kPhases> system_calls{};  // of all processes so far
};

}  // namespace hitfs::testing
