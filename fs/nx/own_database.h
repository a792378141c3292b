#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>

#include "store/base/result.h"

namespace hitfs::fs {

// The folder in which the nx that runs as `process` (a process or one of its threads) keeps its own database, outside
// of any mount of ours: $NX_WORKSPACE_DATA_DIRECTORY, else `.nx/workspace-data` of the workspace (the next nx.json
// above its current folder). Read from /proc, nothing is opened there. Nothing when the process is no nx, or is led to
// a name inside of `mount_point`, as `hitfs run` does. `unavailable` when it cannot be looked at (another user's, or
// one of another process namespace: 0).
Result<std::optional<std::filesystem::path>> own_database_folder(pid_t process,
                                                                 const std::filesystem::path& mount_point);

}  // namespace hitfs::fs
