#include "fs/nx/database_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>

#include "store/base/log.h"
#include "store/base/unique_fd.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};

// True when a database came: its logs and locks come and go all the time.
bool names_a_database(std::span<const char> events) {
  bool any = false;
  while (events.size() >= sizeof(inotify_event)) {
    inotify_event event{};
    std::memcpy(&event, events.data(), sizeof(event));
    std::string_view name(events.data() + sizeof(event));
    any = any || (event.mask & IN_Q_OVERFLOW) != 0 || (event.len > 0 && name.ends_with(".db"));
    events = events.subspan(sizeof(event) + event.len);
  }
  return any;
}

}  // namespace

void watch_for_databases(const std::filesystem::path& folder, const std::stop_token& stop,
                         const std::function<void()>& came) {
  UniqueFd changes(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  UniqueFd ended(::eventfd(0, EFD_CLOEXEC));
  if (!changes || !ended || ::inotify_add_watch(changes.get(), folder.c_str(), IN_CREATE | IN_MOVED_TO) < 0) {
    // Then a database that nx makes gets its rows with the next start of the mount: misses until then.
    return kLog.warn("watch folder={} errno={}", folder.string(), errno);
  }
  std::stop_callback end(stop, [&] { ::eventfd_write(ended.get(), 1); });
  std::array<char, 4096> events{};
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> ready{pollfd{changes.get(), POLLIN, 0}, pollfd{ended.get(), POLLIN, 0}};
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) return;
    bool any = false;
    for (ssize_t got; (got = ::read(changes.get(), events.data(), events.size())) > 0;) {
      any = names_a_database(std::span<const char>(events).first(static_cast<size_t>(got))) || any;
    }
    if (any) came();
  }
}

}  // namespace hitfs::fs
