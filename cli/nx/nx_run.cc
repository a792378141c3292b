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
constexpr size_t kMostTasks = 50'000;
constexpr size_t kMostFolders = 1'000;

std::string value_of(const std::map<std::string, std::string>& environment, const char* name) {
  auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

// From nx 23.2 on checkouts of one repository may share ~/.nx/<16 hex digits>/cache.
void add_shared_folders(const std::string& home, std::vector<fs::path>& folders) {
  std::error_code failed;
  if (home.empty()) return;
  for (fs::directory_iterator one(fs::path(home) / ".nx", failed), end; !failed && one != end; one.increment(failed)) {
    if (folders.size() >= kMostFolders) return;
    folders.push_back(one->path() / "cache");
  }
}

std::vector<fs::path> cache_folders(const NxWorkspace& workspace,
                                    const std::map<std::string, std::string>& environment) {
  if (auto named = value_of(environment, "NX_CACHE_DIRECTORY"); !named.empty()) return {workspace.root / named};
  std::vector<fs::path> folders;
  auto json = read_nx_json(workspace);
  if (json && !json->cache_directory.empty()) folders.push_back(workspace.root / json->cache_directory);
  // Also then: nx before 23 takes no cacheDirectory from a preset.
  folders.insert(folders.end(), {workspace.root / ".nx/cache", workspace.root / "node_modules/.cache/nx"});
  add_shared_folders(value_of(environment, "HOME"), folders);
  return folders;
}

std::optional<fs::path> newest_run(const std::vector<fs::path>& folders, std::time_t since) {
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

}  // namespace

std::vector<NxTask> nx_tasks(const fs::path& folder, const std::map<std::string, std::string>& environment,
                             std::time_t since) {
  auto workspace = find_nx_workspace(folder).value_or(NxWorkspace{folder});
  auto file = newest_run(cache_folders(workspace, environment), since);
  if (!file) return {};
  auto text = io::read_file(*file, kMostBytes);
  if (!text) return {};
  auto json = Json::parse(*text);
  if (!json) return {};
  std::vector<NxTask> tasks;
  for (const auto& one : std::as_const(*json)["tasks"].items()) {
    auto task = one["taskId"].text_or("");
    auto key = Key::make("", "nx", one["hash"].text_or(""));
    bool failed = one["status"].integer_or(0) != 0;
    if (task.empty() || !key || failed || tasks.size() >= kMostTasks) continue;
    tasks.push_back({task, key->text()});
  }
  return tasks;
}

}  // namespace hitfs
