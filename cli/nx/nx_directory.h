#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "cli/nx/nx_workspace.h"

namespace hitfs {

// How nx is led to a mounted cache folder: NX_CACHE_DIRECTORY, and NX_WORKSPACE_DATA_DIRECTORY as a name in the mount,
// because nx's own database must come and go with the files that its rows speak of (fs/README.md, Layout nx). Nothing
// when no nx is installed for the workspace.
[[nodiscard]] std::map<std::string, std::string> nx_directory_variables(const NxWorkspace& workspace,
                                                                        const std::filesystem::path& mount_point);

}  // namespace hitfs
