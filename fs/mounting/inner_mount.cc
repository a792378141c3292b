#include "fs/mounting/inner_mount.h"

#include <sys/mount.h>

#include <cerrno>

#include "fs/mounting/mount_table.h"

namespace hitfs::fs {

Status show_inside(const std::filesystem::path& folder, const std::filesystem::path& place) {
  if (::mount(folder.c_str(), place.c_str(), nullptr, MS_BIND, nullptr) == 0) return Ok{};
  if (errno == EPERM) return Error{Code::permission_denied, "only root can mount " + place.string()};
  return system_error("mount " + place.string(), errno);
}

bool is_shown(const std::filesystem::path& place) {
  auto mounted = find_mount(place);
  return mounted && mounted->has_value();
}

}  // namespace hitfs::fs
