#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace hitfs {

// The file that `extends` of an nx.json in `root` names, found as node finds it: "./base.json" in the workspace, or
// "nx/presets/npm.json" of a package in node_modules of `root` and of the folders above, through the package's
// `exports` where it has them. nullopt when there is none, or when the name leads out of the workspace or the package.
[[nodiscard]] std::optional<std::filesystem::path> find_nx_preset(const std::filesystem::path& root,
                                                                  const std::string& name);

}  // namespace hitfs
