#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "cli/nx/nx_json.h"

namespace hitfs {

// A folder with an nx.json. What is asked about it below reads a handful of files and runs nothing.
struct NxWorkspace {
  std::filesystem::path root;
  [[nodiscard]] std::filesystem::path file() const { return root / "nx.json"; }
};

// The nearest folder with an nx.json, from `folder` upward; nullopt when there is none.
std::optional<NxWorkspace> find_nx_workspace(const std::filesystem::path& folder);

// With the preset that it extends. `invalid_argument` names the file and the line, or says that it is too large (4
// MiB).
Result<NxJson> read_nx_json(const NxWorkspace& workspace);

// The cache packages ("@nx/s3-cache", "@nx/powerpack-s3-cache", ...) that node would find from `folder`: the names in
// node_modules of it and of the folders above.
std::set<std::string> installed_cache_packages(const std::filesystem::path& folder);

// The nx that node would find from `folder`: "24.0.6"; "" when there is none. And its first number, or 0.
std::string nx_version(const std::filesystem::path& folder);
int nx_major_version(const std::filesystem::path& folder);

// Whether the cache packages find their activation key in the workspace: .nx/key/key.ini, or .nx/powerpack/license.ini
// of older ones. Its content is not read.
bool has_nx_key_file(const NxWorkspace& workspace);

}  // namespace hitfs
