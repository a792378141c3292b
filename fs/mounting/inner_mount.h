#pragma once

#include <filesystem>

#include "store/base/result.h"

namespace hitfs::fs {

// A folder of the local disk shown inside of a FUSE mount (mount(2), MS_BIND), so that whoever sees the mount from a
// container reaches it as well: containers take a folder over with the mounts below it. It goes with the mount. Needs
// CAP_SYS_ADMIN, else `permission_denied`; may wait for the mount's worker.
Status show_inside(const std::filesystem::path& folder, const std::filesystem::path& place);

// Whether something is mounted at `place`; from the mount table, nothing is touched.
[[nodiscard]] bool is_shown(const std::filesystem::path& place);

}  // namespace hitfs::fs
