#include "cli/nx/nx_directory.h"

#include "store/base/io.h"
#include "store/digest.h"
#include "store/layouts/nx.h"

namespace hitfs {

namespace {

constexpr size_t kIdLength = 16;

// One name for a workspace, by whatever links it was reached.
std::string workspace_id(const std::filesystem::path& root) {
  std::error_code failure;
  auto canonical = std::filesystem::weakly_canonical(root, failure);
  return Digest::of(io::as_bytes((failure ? root : canonical).native())).hex().substr(0, kIdLength);
}

}  // namespace

std::map<std::string, std::string> nx_directory_variables(const NxWorkspace& workspace,
                                                          const std::filesystem::path& mount_point) {
  auto version = nx_version(workspace.root);
  if (version.empty()) return {};
  auto data = mount_point / nx_workspace_name(version, workspace_id(workspace.root));
  return {{"NX_CACHE_DIRECTORY", mount_point.string()}, {"NX_WORKSPACE_DATA_DIRECTORY", data.string()}};
}

}  // namespace hitfs
