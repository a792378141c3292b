#pragma once

#include <ctime>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

// What nx leaves about its last run: run.json in its cache folder (shown with nx 20.8 to 24.0).
namespace hitfs {

struct NxTask {
  std::string task;  // "lib-a:build"
  std::string key;   // "nx/1234": Key::text()
};

// Tasks of the newest run.json that was written at or after `since` (seconds, 1970), without failed ones; empty when
// there is none. It is looked for where nx keeps its cache in the workspace of `folder` (`folder` itself, when there is
// no nx.json): $NX_CACHE_DIRECTORY, `cacheDirectory` of nx.json, and nx's own places in the workspace and below $HOME.
// A file that is no such thing is as none; nothing of it is trusted but that these hashes have these names.
[[nodiscard]] std::vector<NxTask> nx_tasks(const std::filesystem::path& folder,
                                           const std::map<std::string, std::string>& environment, std::time_t since);

}  // namespace hitfs
