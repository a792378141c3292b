#include "fs/edge/close_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <map>

#include "fs/edge/helper_process.h"
#include "store/base/clock.h"

namespace hitfs::fs {

namespace {

using Kind = CloseNews::Kind;

// A writer's count falls a moment after its close is told. Who really writes on is looked at less and less often; its
// own close is told as well.
constexpr Milliseconds kFirstPause{1};
constexpr Milliseconds kLongestPause{1000};

// Requests: an empty name asks for the watch. News: this and the name.
struct NewsHead {
  Kind kind;
  int32_t error;
  uint64_t number;
};
constexpr size_t kLongestMessage = sizeof(NewsHead) + NAME_MAX;
constexpr char kWatch = 'w';
constexpr char kLookAt = 'l';

// The life of the watching process.
class Watcher {
 public:
  Watcher(int socket, std::string mount_point) : socket_(socket), mount_point_(std::move(mount_point)) {}

  void run() {
    while (going_on_) {
      std::array<pollfd, 2> events{pollfd{socket_, POLLIN, 0}, pollfd{inotify_.get(), POLLIN, 0}};
      ::poll(events.data(), events.size(), milliseconds_to_look());
      if (events[0].revents != 0) take_request();
      if (going_on_ && events[1].revents != 0) take_events();
      if (going_on_) look_at_due();
    }
  }

 private:
  struct Asked {
    MonotonicTime due{};
    Milliseconds pause = kFirstPause;
  };

  void tell(Kind kind, std::string_view name = "", int error = 0, uint64_t number = 0) {
    NewsHead head{kind, error, number};
    std::array<iovec, 2> pieces{iovec{&head, sizeof(head)}, iovec{const_cast<char*>(name.data()), name.size()}};
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    ssize_t sent;
    do {
      sent = ::sendmsg(socket_, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) going_on_ = false;
  }

  void take_request() {
    std::array<char, kLongestMessage> message;
    ssize_t got = ::recv(socket_, message.data(), message.size(), 0);
    if (got < 0 && errno == EINTR) return;
    if (got <= 0) {
      going_on_ = false;
      return;
    }
    std::string_view request(message.data(), static_cast<size_t>(got));
    if (request[0] == kWatch) return watch();
    if (asked_.size() >= CloseWatch::kMostNames) return tell(Kind::missed);
    asked_[std::string(request.substr(1))] = {};
  }

  // Without the watch, leases can be asked for all the same.
  void watch() {
    device_ = device_of_mount().value_or(0);
    // Not IN_EXCL_UNLINK: a name that the kernel was told to forget looks unlinked to it.
    constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_ONLYDIR;
    inotify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (inotify_ && ::inotify_add_watch(inotify_.get(), mount_point_.c_str(), kEvents) >= 0) {
      return tell(Kind::watching);
    }
    int error = errno;
    inotify_.reset();
    tell(Kind::not_had, "", error);
  }

  [[nodiscard]] std::optional<dev_t> device_of_mount() const {
    struct stat mounted {};
    if (::stat(mount_point_.c_str(), &mounted) != 0) return std::nullopt;
    return mounted.st_dev;
  }

  void take_events() {
    alignas(inotify_event) std::array<char, 65536> buffer;
    ssize_t got = ::read(inotify_.get(), buffer.data(), buffer.size());
    for (ssize_t at = 0; at < got;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      if ((event.mask & IN_Q_OVERFLOW) != 0) tell(Kind::missed);
      if ((event.mask & IN_CLOSE_WRITE) != 0 && event.len > 0) {
        tell(Kind::closed, buffer.data() + at + sizeof(event));
      }
      if ((event.mask & IN_UNMOUNT) != 0) {
        tell(Kind::unmounted);
        going_on_ = false;
        return;
      }
      at += static_cast<ssize_t>(sizeof(event) + event.len);
    }
  }

  [[nodiscard]] int milliseconds_to_look() const {
    if (asked_.empty()) return -1;
    auto next = std::min_element(asked_.begin(), asked_.end(),
                                 [](const auto& a, const auto& b) { return a.second.due < b.second.due; });
    auto left = std::chrono::ceil<Milliseconds>(next->second.due - system_clock().now());
    return static_cast<int>(std::max<int64_t>(0, left.count()));
  }

  void look_at_due() {
    auto now = system_clock().now();
    for (auto asked = asked_.begin(); asked != asked_.end() && going_on_;) {
      if (asked->second.due > now) {
        ++asked;
      } else if (look_at(asked->first)) {
        asked = asked_.erase(asked);
      } else {
        asked->second.due = now + asked->second.pause;
        asked->second.pause = std::min(2 * asked->second.pause, kLongestPause);
        ++asked;
      }
    }
  }

  // False when somebody writes: to be looked at again. A lease that is had for these two system calls makes nobody
  // wait longer than that; only who opens with O_NONBLOCK in between would be told so.
  bool look_at(const std::string& name) {
    UniqueFd file(::open((mount_point_ + "/" + name).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    int error = file ? 0 : errno;
    // Where the mount is no longer to be seen, its end will answer.
    if (device_of_mount() != device_) return false;
    struct stat found {};
    if (file && ::fstat(file.get(), &found) != 0) error = errno;
    if (error == ENOENT || error == ELOOP || (error == 0 && !S_ISREG(found.st_mode))) {
      tell(Kind::no_file, name);
      return true;
    }
    if (error != 0) {
      tell(Kind::cannot_tell, name, error);
      return true;
    }
    if (::fcntl(file.get(), F_SETLEASE, F_RDLCK) == 0) {
      ::fcntl(file.get(), F_SETLEASE, F_UNLCK);
      tell(Kind::free, name, 0, found.st_ino);
      return true;
    }
    if (errno == EAGAIN) return false;
    tell(Kind::cannot_tell, name, errno);
    return true;
  }

  int socket_;
  std::string mount_point_;
  dev_t device_ = 0;
  UniqueFd inotify_;
  std::map<std::string, Asked> asked_;
  bool going_on_ = true;
};

bool ask(int socket, char what, std::string_view name) {
  std::string message(1, what);
  message += name;
  return ::send(socket, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

}  // namespace

Result<CloseWatch> CloseWatch::start(const std::string& mount_point) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return system_error("socketpair", errno);
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  std::array kept{theirs.get()};
  auto child =
      fork_helper(kCloseWatchHelper, kept, [&](std::span<const int> now) { Watcher(now[0], mount_point).run(); });
  if (!child) return std::move(child).error();
  return CloseWatch(std::move(ours), *child);
}

bool CloseWatch::watch() { return ask(socket_.get(), kWatch, ""); }

bool CloseWatch::look_at(std::string_view name) { return ask(socket_.get(), kLookAt, name); }

Result<std::optional<CloseNews>> CloseWatch::next() {
  std::array<char, kLongestMessage> message;
  ssize_t got = ::recv(socket_.get(), message.data(), message.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::optional<CloseNews>();
  NewsHead head{};
  if (got < static_cast<ssize_t>(sizeof(head))) return Error{Code::unavailable, "the watching process is gone"};
  std::memcpy(&head, message.data(), sizeof(head));
  std::string name(message.data() + sizeof(head), static_cast<size_t>(got) - sizeof(head));
  return std::optional(CloseNews{head.kind, head.error, head.number, std::move(name)});
}

}  // namespace hitfs::fs
