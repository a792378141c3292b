#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "store/base/guarded.h"
#include "store/base/result.h"

namespace hitfs::fs {

// Folders elsewhere in which an nx that used this mount keeps its own database, because nobody led it into the mount
// (nx started by hand). Their rows go before their files, too. Remembered in a file of the mount's private folder, so
// that the next worker and the next mount know them. Safe from several threads.
class OutsideDatabases {
 public:
  // `list`: one percent-encoded folder per line.
  explicit OutsideDatabases(std::filesystem::path list) : list_(std::move(list)) {}

  Status load();
  [[nodiscard]] bool knows(const std::filesystem::path& folder) const { return folders_.lock()->contains(folder); }
  // Beyond kMost folders those that are gone are forgotten; if none is, `resource_exhausted`.
  Status add(const std::filesystem::path& folder);
  // Regular files `*.db` in these folders.
  [[nodiscard]] std::vector<std::filesystem::path> databases() const;

  static constexpr size_t kMost = 256;

 private:
  std::filesystem::path list_;
  mutable Guarded<std::set<std::filesystem::path>> folders_;
};

}  // namespace hitfs::fs
