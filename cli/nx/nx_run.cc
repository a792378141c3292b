#include "cli/nx/nx_run.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "cli/nx/nx_workspace.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/key.h"

namespace hitfs {

namespace {

namespace fs = std::filesystem;

constexpr size_t kMostBytes = 64 << 20;
constexpr size_t kMostFolders = 1'000;

std::string value_of(const std::map<std::string, std::string>& environment, const char* name) {
  auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

std::vector<fs::path> shared_folders(const fs::path& shared) {
  std::vector<fs::path> folders;
  std::error_code failed;
  if (shared.empty()) return folders;
  for (fs::directory_iterator one(shared, failed), end; !failed && one != end; one.increment(failed)) {
    if (folders.size() >= kMostFolders) break;
    folders.push_back(one->path() / "cache");
  }
  return folders;
}

}  // namespace

NxCachePlaces nx_cache_places(const fs::path& folder, const std::map<std::string, std::string>& environment) {
  auto workspace = find_nx_workspace(folder).value_or(NxWorkspace{folder});
  if (auto named = value_of(environment, "NX_CACHE_DIRECTORY"); !named.empty()) return {{workspace.root / named}, {}};
  NxCachePlaces places;
  auto json = read_nx_json(workspace);
  if (json && !json->cache_directory.empty()) places.folders.push_back(workspace.root / json->cache_directory);
  // Also then: nx before 23 takes no cacheDirectory from a preset.
  for (const char* usual : {".nx/cache", "node_modules/.cache/nx"}) places.folders.push_back(workspace.root / usual);
  // From nx 23.2 on checkouts of one repository may share ~/.nx/<16 hex digits>/cache.
  if (auto home = value_of(environment, "HOME"); !home.empty()) places.shared = fs::path(home) / ".nx";
  return places;
}

std::vector<fs::path> nx_cache_folders(const NxCachePlaces& places) {
  auto folders = places.folders;
  for (auto& one : shared_folders(places.shared)) folders.push_back(std::move(one));
  return folders;
}

std::optional<fs::path> newest_nx_run(const std::vector<fs::path>& folders, std::time_t since) {
  std::optional<fs::path> newest;
  struct timespec latest {
    since, 0
  };
  for (const auto& folder : folders) {
    struct stat info {};
    auto file = folder / "run.json";
    if (::stat(file.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    auto& time = info.st_mtim;
    if (time.tv_sec < latest.tv_sec || (time.tv_sec == latest.tv_sec && time.tv_nsec < latest.tv_nsec)) continue;
    latest = time;
    newest = file;
  }
  return newest;
}

std::vector<NxTask> read_nx_run(const fs::path& file) {
  auto text = io::read_file(file, kMostBytes);
  if (!text) return {};
  auto json = Json::parse(*text);
  if (!json) return {};
  std::vector<NxTask> tasks;
  for (const auto& one : std::as_const(*json)["tasks"].items()) {
    auto task = one["taskId"].text_or("");
    auto key = Key::make("", "nx", one["hash"].text_or(""));
    bool failed = one["status"].integer_or(0) != 0;
    if (task.empty() || !key || failed || tasks.size() >= kMostNxTasks) continue;
    tasks.push_back({task, key->text()});
  }
  return tasks;
}

std::vector<NxTask> nx_tasks(const fs::path& folder, const std::map<std::string, std::string>& environment,
                             std::time_t since) {
  auto file = newest_nx_run(nx_cache_folders(nx_cache_places(folder, environment)), since);
  return file ? read_nx_run(*file) : std::vector<NxTask>();
}

}  // namespace hitfs
