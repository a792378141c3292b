#include "cli/nx_directory.h"

#include "store/base/io.h"
#include "store/base/json.h"
#include "store/digest.h"
#include "store/layouts/nx.h"

namespace hitfs {

namespace {

constexpr size_t kLargestPackage = 1 << 20;
constexpr size_t kIdLength = 16;

bool is_there(const std::filesystem::path& path) {
  std::error_code failure;
  return std::filesystem::exists(path, failure);
}

// "" when nx is not installed there or above.
std::string installed_version(std::filesystem::path folder) {
  while (true) {
    auto text = io::read_file(folder / "node_modules/nx/package.json", kLargestPackage);
    auto json = text ? Json::parse(*text) : Result<Json>(text.error());
    if (json) return std::as_const(*json)["version"].text_or("");
    if (!folder.has_relative_path()) return "";
    folder = folder.parent_path();
  }
}

}  // namespace

std::optional<NxWorkspaceFacts> find_nx_workspace(const std::filesystem::path& from) {
  std::error_code failure;
  auto folder = std::filesystem::weakly_canonical(from, failure);
  if (failure) return std::nullopt;
  while (!is_there(folder / "nx.json")) {
    if (!folder.has_relative_path()) return std::nullopt;
    folder = folder.parent_path();
  }
  auto version = installed_version(folder);
  if (version.empty()) return std::nullopt;
  return NxWorkspaceFacts{folder, version};
}

std::map<std::string, std::string> nx_directory_variables(const NxWorkspaceFacts& workspace,
                                                          const std::filesystem::path& mount_point) {
  auto id = Digest::of(io::as_bytes(workspace.root.native())).hex().substr(0, kIdLength);
  return {{"NX_CACHE_DIRECTORY", mount_point.string()},
          {"NX_WORKSPACE_DATA_DIRECTORY", (mount_point / nx_workspace_name(workspace.version, id)).string()}};
}

}  // namespace hitfs
