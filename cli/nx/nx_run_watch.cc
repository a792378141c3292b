#include "cli/nx/nx_run_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "cli/nx/upward.h"

namespace hitfs {

namespace {

namespace fs = std::filesystem;

constexpr const char* kRunFile = "run.json";
constexpr size_t kMostWatches = 256;
constexpr int kMostTries = 16;
constexpr uint32_t kMask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

bool is_folder(const fs::path& path) {
  std::error_code failure;
  return fs::is_directory(path, failure);
}

}  // namespace

NxRunWatch::NxRunWatch(const fs::path& folder, std::map<std::string, std::string> environment)
    : began_(std::time(nullptr)),
      folder_(folder),
      environment_(std::move(environment)),
      events_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      ended_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (events_ && ended_) thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

void NxRunWatch::work(const std::stop_token& stop) {
  places_ = nx_cache_places(folder_, environment_);
  watch_all();
  std::stop_callback end(stop, [this] { ::eventfd_write(ended_.get(), 1); });
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> ready{pollfd{events_.get(), POLLIN, 0}, pollfd{ended_.get(), POLLIN, 0}};
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) return;
    take_events();
  }
}

void NxRunWatch::take_events() {
  alignas(inotify_event) std::array<char, 8192> buffer;
  for (ssize_t got; (got = ::read(events_.get(), buffer.data(), buffer.size())) > 0;) {
    for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= got;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      handle(event.wd, event.mask, event.len > 0 ? std::string(buffer.data() + at + sizeof(event)) : "");
      at += static_cast<ssize_t>(sizeof(event) + event.len);
    }
  }
}

void NxRunWatch::handle(int watch, uint32_t mask, const std::string& name) {
  if ((mask & IN_Q_OVERFLOW) != 0) return watch_all();
  auto found = watched_.find(watch);
  if (found == watched_.end()) return;
  if ((mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
    // nx reset takes the folder away: from here on the one above is watched.
    if ((mask & IN_MOVE_SELF) != 0) ::inotify_rm_watch(events_.get(), watch);
    watched_.erase(found);
    return watch_all();
  }
  const auto& awaited = found->second.awaited;
  if (name == kRunFile && (mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0) return read(found->second.folder);
  if ((mask & IN_ISDIR) != 0 && (awaited.contains(name) || awaited.contains(""))) watch_all();
}

void NxRunWatch::watch_all() {
  // First the folder whose children count, so that each of them is either listed or an event.
  if (!places_.shared.empty()) {
    watch_towards(places_.shared);
    if (is_folder(places_.shared)) watch_folder(places_.shared, "");
  }
  for (const auto& folder : nx_cache_folders(places_)) watch_towards(folder);
}

void NxRunWatch::watch_towards(const fs::path& folder) {
  // What came between the look and the watch is looked for once more.
  for (int tries = 0; tries < kMostTries && !watch_nearest(folder); ++tries) continue;
  if (is_folder(folder)) read(folder);
}

// Watches the folder, or else the nearest one above it for the name that leads to it; false when that is there now.
bool NxRunWatch::watch_nearest(const fs::path& folder) {
  fs::path missing;
  upward(folder, [&](const fs::path& place) {
    if (is_folder(place)) {
      watch_folder(place, missing.empty() ? std::string(kRunFile) : missing.filename().string());
      return true;
    }
    missing = place;
    return false;
  });
  return missing.empty() || !is_folder(missing);
}

void NxRunWatch::watch_folder(const fs::path& folder, const std::string& awaited) {
  if (watched_.size() >= kMostWatches) return;
  int watch = ::inotify_add_watch(events_.get(), folder.c_str(), kMask);
  if (watch < 0) return;
  auto& watched = watched_[watch];
  watched.folder = folder;
  watched.awaited.insert(awaited);
}

void NxRunWatch::read(const fs::path& folder) {
  if (!newest_nx_run({folder}, began_)) return;
  auto& all = tasks_[folder];
  for (const auto& task : read_nx_run(folder / kRunFile)) {
    if (kept_ >= kMostNxTasks || !all.known.insert(task).second) continue;
    all.tasks.push_back(task);
    ++kept_;
  }
}

std::vector<NxTask> NxRunWatch::finish() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
    take_events();
  }
  auto newest = newest_nx_run(nx_cache_folders(nx_cache_places(folder_, environment_)), began_);
  if (!newest) return {};
  // Also when nothing was watched.
  read(newest->parent_path());
  return std::move(tasks_[newest->parent_path()].tasks);
}

}  // namespace hitfs
