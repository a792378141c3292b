#pragma once

#include <ctime>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

// What nx leaves about its last run: run.json in its cache folder (shown with nx 20.8 to 24.0).
namespace hitfs {

struct NxTask {
  std::string task;  // "lib-a:build"
  std::string key;   // "nx/1234": Key::text()

  auto operator<=>(const NxTask&) const = default;
};

inline constexpr size_t kMostNxTasks = 50'000;

// Where run.json may lie for an nx that runs in the workspace of `folder` (`folder` itself, when there is no nx.json):
// in $NX_CACHE_DIRECTORY, or else in `cacheDirectory` of nx.json and nx's own places in the workspace; and the folder
// whose subfolders' `cache` may hold it besides (~/.nx of nx from 23.2 on), "" for none.
struct NxCachePlaces {
  std::vector<std::filesystem::path> folders;
  std::filesystem::path shared;
};
[[nodiscard]] NxCachePlaces nx_cache_places(const std::filesystem::path& folder,
                                            const std::map<std::string, std::string>& environment);
// `folders` and those below `shared` that are there now.
[[nodiscard]] std::vector<std::filesystem::path> nx_cache_folders(const NxCachePlaces& places);

// The newest run.json in one of the folders that was written at or after `since` (seconds, 1970).
[[nodiscard]] std::optional<std::filesystem::path> newest_nx_run(const std::vector<std::filesystem::path>& folders,
                                                                 std::time_t since);

// Its tasks without failed ones, kMostNxTasks at most. A file that is no such thing is as none; nothing of it is
// trusted but that these hashes have these names.
[[nodiscard]] std::vector<NxTask> read_nx_run(const std::filesystem::path& file);

// The tasks of the newest one; empty when there is none.
[[nodiscard]] std::vector<NxTask> nx_tasks(const std::filesystem::path& folder,
                                           const std::map<std::string, std::string>& environment, std::time_t since);

}  // namespace hitfs
