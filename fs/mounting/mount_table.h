#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "store/base/result.h"

namespace hitfs::fs {

// What the kernel says of a mount: one line of /proc/self/mountinfo (proc(5)).
struct MountedAt {
  std::string type;    // "fuse.hitfs", "ext4", ...
  std::string device;  // "0:53": tells two mounts at one place apart
  std::string source;  // MountOptions::source of a mount of ours
};

// The topmost mount exactly at `path`, which must be canonical; touches nothing below it.
[[nodiscard]] Result<std::optional<MountedAt>> find_mount(const std::filesystem::path& path);

// The same from the text of a mountinfo file.
[[nodiscard]] std::optional<MountedAt> find_mount_in(const std::string& mountinfo, const std::string& path);

}  // namespace hitfs::fs
