#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs::fs {

// Which file a path leads to: nx removes databases and makes new ones of the same name.
struct FileIdentity {
  uint64_t device = 0, inode = 0;
  bool operator==(const FileIdentity&) const = default;
};
[[nodiscard]] std::optional<FileIdentity> identity_of(const std::filesystem::path& path);

// Files in it whose names begin with `prefix` and end with ".db"; nothing that a link leads to.
[[nodiscard]] std::vector<std::filesystem::path> databases_in(const std::filesystem::path& folder,
                                                              std::string_view prefix = "");

// A mount's private folder: what nx keeps in databases, on a local disk and outside of the mount, because SQLite's
// shared memory is coherent only among those who open one and the same file. A value.
//
//   shared*.db, -wal, -shm, -journal, shared*.lock    of the cache folder
//   workspaces/<version>-<id>/<anything>.db           nx's own, one folder per workspace
//   outside                                           folders of such databases that lie elsewhere
class PrivateFiles {
 public:
  explicit PrivateFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] std::filesystem::path outside_list() const { return folder_ / "outside"; }  // OutsideDatabases
  // Makes the folders; 0700: a database lies open to whoever can reach it.
  [[nodiscard]] Status make() const;

  [[nodiscard]] std::vector<std::filesystem::path> shared_databases() const;
  [[nodiscard]] std::vector<std::filesystem::path> workspace_databases() const;
  // Both.
  [[nodiscard]] std::vector<std::filesystem::path> all_databases() const;
  // True when Turso has the database open or had it: it does not see what SQLite writes then.
  [[nodiscard]] static bool has_turso_side_file(const std::filesystem::path& database);

  // The lock that nx holds while it makes or opens a shared database; nothing while somebody holds it.
  [[nodiscard]] static Result<std::optional<UniqueFd>> try_lock(const std::filesystem::path& database);
  // Removes a database with everything that belongs to it: a log that stayed would be read into the next one.
  [[nodiscard]] static Status remove(const std::filesystem::path& database);

 private:
  std::filesystem::path folder_;
};

}  // namespace hitfs::fs
