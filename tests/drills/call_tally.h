#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace hitfs::testing {

// Kinds of system calls that a load makes on a mount.
enum class Call {
  open,
  read,
  map,
  stat,
  look_for_missing,
  list,
  create,
  write,
  truncate,
  rename,
  unlink,
  mkdir,
  rmdir,
  symlink,
  readlink,
  chmod,
  sync,
};
constexpr size_t kCalls = static_cast<size_t>(Call::sync) + 1;

// What the processes of a load did, for memory that they share with the test (SharedMemory).
struct CallTally {
  struct Kind {
    std::atomic<uint64_t> made = 0;
    std::atomic<uint64_t> failed = 0;  // returned something else than the model says
  };
  std::array<Kind, kCalls> kinds;
  std::atomic<uint64_t> bytes_compared = 0;
  std::atomic<uint64_t> wrong_bytes = 0;  // comparisons that failed
  std::atomic<int> running = 0;           // calls that threads are in just now
  std::atomic<int64_t> longest_ns = 0;
  std::atomic<bool> told = false;
  std::array<char, 400> first_failure{};

  // Keeps the first one for the test's message.
  void tell(std::string_view what);
  [[nodiscard]] uint64_t made() const;
  [[nodiscard]] uint64_t failed() const;
  [[nodiscard]] std::string failure() const { return first_failure.data(); }
};

// "open 120, read 340, ...".
[[nodiscard]] std::string describe(const CallTally& tally);

// The line of a drill in a test's output.
void say(const std::string& line);

}  // namespace hitfs::testing
