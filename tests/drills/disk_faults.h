#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

// A disk that fails when a test says so, for real programs: a library that is loaded before libc (LD_PRELOAD) and
// answers the calls that change a disk with an error, SQLite's among them. The test and the programs share one page.
namespace hitfs::testing {

// What both sides see. A pattern is set before the error, the error is taken back before the pattern changes.
struct DiskFaultsPage {
  static constexpr size_t kLongestPattern = 255;
  static constexpr const char* kVariable = "HITFS_TEST_DISK_FAULTS";  // where the file with the page is

  std::atomic<int> error;             // an errno; 0: the disk is fine
  std::atomic<int64_t> after;         // calls that still succeed before the first fails
  std::atomic<uint64_t> injected;     // calls that failed
  char pattern[kLongestPattern + 1];  // fnmatch() of whole paths: `*` stands for `/`, too
};

// The test's side. Programs that are to be reached get environment(); the page lies in `folder`.
class DiskFaults {
 public:
  explicit DiskFaults(const std::filesystem::path& folder);
  ~DiskFaults();
  DiskFaults(const DiskFaults&) = delete;
  DiskFaults& operator=(const DiskFaults&) = delete;

  [[nodiscard]] std::map<std::string, std::optional<std::string>> environment() const;

  // From now on, after `after` calls, every change of what matches fails with `error`: creating, writing, growing,
  // syncing, renaming, linking, removing.
  void begin(int error, const std::string& pattern, int64_t after = 0);
  void end() { page_->error = 0; }
  // Calls that failed since begin().
  [[nodiscard]] uint64_t injected() const { return page_->injected; }

 private:
  std::filesystem::path file_;
  DiskFaultsPage* page_;
};

}  // namespace hitfs::testing
