#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/json.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/process.h"

namespace hitfs::testing {

// A machine of a team, in a folder of its own: a store and a mount of layout flat, both kept by the program as people
// call it. Entries are names of 16 hex digits. Ends what it started; have an Enclosure besides.
class Machine {
 public:
  // Without a remote everything stays on this machine.
  explicit Machine(std::filesystem::path folder, std::string remote = "", std::string token = "");
  Machine(std::filesystem::path folder, const TeamServer& server)
      : Machine(std::move(folder), "nx+" + server.url(), server.token()) {}
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  [[nodiscard]] const std::filesystem::path& store() const { return store_; }
  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return root_ / name; }

  Outcome hitfs(std::vector<std::string> arguments) const;
  Outcome mount() const { return hitfs({"mount", root_, "--layout", "flat", "--pattern", "[0-9a-f]{16}"}); }
  Outcome unmount() const { return hitfs({"unmount", root_}); }
  // `hitfs status --json`; null when it cannot be had.
  [[nodiscard]] Json status() const;

  // Waits until the store holds `entries`, so that what was renamed into the mount is no longer only staged.
  [[nodiscard]] bool holds(int64_t entries) const;
  // Waits until `name` is there: a lookup ends before a long pull does, and the next one finds it.
  [[nodiscard]] bool appears(const std::string& name) const;

 private:
  std::filesystem::path folder_, store_, root_;
  std::string remote_, token_;
};

// A number from /proc/PID/status in KiB ("VmHWM": the most memory so far); 0 when the process is gone.
uint64_t memory_of(pid_t process, const std::string& what);

}  // namespace hitfs::testing
