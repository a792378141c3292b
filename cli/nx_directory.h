#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

// How nx is led to a mounted cache folder.
namespace hitfs {

// The nx workspace that a command works in: the first folder from `from` upward with an nx.json, and the version of nx
// that it has installed.
struct NxWorkspaceFacts {
  std::filesystem::path root;
  std::string version;  // "24.0.6"
};
[[nodiscard]] std::optional<NxWorkspaceFacts> find_nx_workspace(const std::filesystem::path& from);

// NX_CACHE_DIRECTORY, and NX_WORKSPACE_DATA_DIRECTORY as a name in the mount: nx's own database must come and go with
// the files that its rows speak of (fs/README.md, Layout nx).
[[nodiscard]] std::map<std::string, std::string> nx_directory_variables(const NxWorkspaceFacts& workspace,
                                                                        const std::filesystem::path& mount_point);

}  // namespace hitfs
