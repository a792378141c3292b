#pragma once

#include <atomic>
#include <ctime>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cli/nx/nx_run.h"
#include "store/base/unique_fd.h"

namespace hitfs {

// Collects the tasks of every nx command that runs in a workspace while it lives: each rewrites the same run.json, so
// that at the end only the last one's would be known. A thread of its own looks at each as it is written (inotify,
// on the folder or on the nearest one above that is there). What it misses costs names in a run list, no more.
class NxRunWatch {
 public:
  // The command runs in `folder` and gets `environment`; make it before it starts.
  NxRunWatch(const std::filesystem::path& folder, std::map<std::string, std::string> environment);
  NxRunWatch(const NxRunWatch&) = delete;
  NxRunWatch& operator=(const NxRunWatch&) = delete;

  // So far, in all folders. From any thread.
  [[nodiscard]] size_t tasks_seen() const { return kept_; }
  // Ends the watch: every task of the folder in which the newest run.json lies. Once.
  std::vector<NxTask> finish();

 private:
  struct Collected {
    std::vector<NxTask> tasks;  // in the order in which they came
    std::set<NxTask> known;
  };
  void work(const std::stop_token& stop);
  void take_events();
  void handle(int watch, uint32_t mask, const std::string& name);
  void watch_all();
  void watch_towards(const std::filesystem::path& folder);
  bool watch_nearest(const std::filesystem::path& folder);
  void watch_folder(const std::filesystem::path& folder, const std::string& awaited);
  void read(const std::filesystem::path& folder);

  const std::time_t began_;
  const std::filesystem::path folder_;
  const std::map<std::string, std::string> environment_;
  // Of the thread; of finish() after its end.
  struct Watched {
    std::filesystem::path folder;
    std::set<std::string> awaited;  // names in it that lead to a cache folder; "" for every name
  };
  NxCachePlaces places_;
  std::map<int, Watched> watched_;
  std::map<std::filesystem::path, Collected> tasks_;  // of each cache folder
  std::atomic<size_t> kept_ = 0;
  UniqueFd events_, ended_;
  std::jthread thread_;
};

}  // namespace hitfs
