#include "cli/nx/nx_run.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>

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

// nx.json is written by people and may hold comments, which this reader refuses: then nx's own places are left.
std::string configured_folder(const fs::path& workspace) {
  auto text = io::read_file(workspace / "nx.json", 1 << 20);
  if (!text) return "";
  auto json = Json::parse(*text);
  return json ? std::as_const(*json)["cacheDirectory"].text_or("") : "";
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

std::vector<fs::path> cache_folders(const fs::path& workspace, const std::map<std::string, std::string>& environment) {
  auto named = value_of(environment, "NX_CACHE_DIRECTORY");
  if (named.empty()) named = configured_folder(workspace);
  if (!named.empty()) return {workspace / named};
  std::vector<fs::path> folders{workspace / ".nx/cache", workspace / "node_modules/.cache/nx"};
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

std::vector<NxTask> nx_tasks(const fs::path& workspace, const std::map<std::string, std::string>& environment,
                             std::time_t since) {
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

fs::path nx_workspace(const fs::path& folder) {
  std::error_code ignored;
  for (auto place = folder; !place.empty(); place = place.parent_path()) {
    if (fs::exists(place / "nx.json", ignored)) return place;
    if (place == place.parent_path()) break;
  }
  return folder;
}

}  // namespace hitfs
