#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace hitfs::testing {

// A memory limit for processes of a test: a cgroup (version 1) below the test's own. What is still in it at the end
// goes back to the test's own, and the cgroup goes.
class MemoryCgroup {
 public:
  // Why none can be made here; nothing when it can.
  static std::optional<std::string> why_not();

  MemoryCgroup(const std::string& name, uint64_t limit_bytes);
  ~MemoryCgroup();
  MemoryCgroup(const MemoryCgroup&) = delete;
  MemoryCgroup& operator=(const MemoryCgroup&) = delete;

  // Moves a process into it, with the memory that it has already.
  [[nodiscard]] bool add(pid_t process) const;
  // The most that was in use at once, the page cache of its files included.
  [[nodiscard]] uint64_t peak_bytes() const;
  // Processes that the kernel killed because the limit was reached.
  [[nodiscard]] uint64_t kills() const;

 private:
  std::filesystem::path folder_;
};

}  // namespace hitfs::testing
