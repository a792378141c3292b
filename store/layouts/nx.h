#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/result.h"
#include "store/layout.h"

namespace hitfs {

// Layout `nx`: the cache folder of nx 20 to 24 with the shared-directory protocol. Seen with nx 20.8.2, 21.6.5, 22.6.5,
// 23.3.2 and 24.0.6.
//
//   <1 to 20 digits>            entry nx/<digits>; complete by the rename of <digits>-backup
//   terminalOutputs/<digits>    the entry's terminal output
//   shared[-v<n>].db, .lock     links into the private folder
//   .nx-<version>-<16 hex>      link to workspaces/<version>-<16 hex> there: nx's own databases of one workspace
//   .hitfs/                     where root mounts: the private folder itself, for jobs that see nothing but the mount
//   everything else             local: <digits>-backup, run.json, cloud/, ...
//
// Takes neither pattern nor completion: `invalid_argument`.
Result<std::unique_ptr<Layout>> make_nx_layout(const LayoutOptions& options);

inline constexpr std::string_view kNxSpace = "nx";
// The name at the top of a mount at which its private folder may be shown as well (fs/mounting/inner_mount.h).
inline constexpr std::string_view kNxPrivateName = ".hitfs";

// The name at the top of a mount that leads to a workspace's own folder; `id` is 16 hex digits.
[[nodiscard]] std::string nx_workspace_name(std::string_view version, std::string_view id);
// The version of nx in such a name ("24.0.6"); nothing for any other name.
[[nodiscard]] std::optional<std::string> nx_version_in(std::string_view name);

}  // namespace hitfs
