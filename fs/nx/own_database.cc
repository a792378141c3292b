#include "fs/nx/own_database.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "store/base/io.h"

namespace hitfs::fs {

namespace {

constexpr size_t kLargestEnvironment = 4 << 20;
constexpr std::string_view kVariable = "NX_WORKSPACE_DATA_DIRECTORY=";

std::string_view value_in(std::string_view environment, std::string_view variable) {
  while (!environment.empty()) {
    auto end = std::min(environment.find('\0'), environment.size());
    auto one = environment.substr(0, end);
    if (one.starts_with(variable)) return one.substr(variable.size());
    environment.remove_prefix(std::min(end + 1, environment.size()));
  }
  return {};
}

bool is_inside(const std::filesystem::path& path, const std::filesystem::path& folder) {
  auto [end, ignored] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return !folder.empty() && end == folder.end();
}

std::optional<std::filesystem::path> workspace_above(std::filesystem::path folder) {
  std::error_code failure;
  for (; folder.has_relative_path(); folder = folder.parent_path()) {
    if (std::filesystem::exists(folder / "nx.json", failure)) return folder;
  }
  return std::nullopt;
}

}  // namespace

Result<std::optional<std::filesystem::path>> own_database_folder(pid_t process,
                                                                 const std::filesystem::path& mount_point) {
  using Nothing = std::optional<std::filesystem::path>;
  auto proc = std::filesystem::path("/proc") / std::to_string(process);
  auto environment = io::read_file(proc / "environ", kLargestEnvironment);
  std::error_code failure;
  auto here = std::filesystem::read_symlink(proc / "cwd", failure);
  if (process == 0 || !environment || failure) {
    return Error{Code::unavailable, "process " + std::to_string(process) + " cannot be looked at"};
  }
  if (is_inside(here, mount_point)) return Nothing();
  auto workspace = workspace_above(here);
  if (!workspace) return Nothing();
  auto named = value_in(*environment, kVariable);
  auto folder = named.empty() ? *workspace / ".nx" / "workspace-data" : *workspace / named;
  folder = folder.lexically_normal();
  return is_inside(folder, mount_point) ? Nothing() : Nothing(folder);
}

}  // namespace hitfs::fs
