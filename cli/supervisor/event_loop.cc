#include "cli/supervisor/event_loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "fs/edge/helper_process.h"
#include "store/base/io.h"

namespace hitfs {

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  if (auto opened = loop->open(); !opened) return std::move(opened).error();
  return loop;
}

Status EventLoop::open() {
  sigset_t handled;
  ::sigemptyset(&handled);
  for (int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&handled, number);
  ::pthread_sigmask(SIG_BLOCK, &handled, &old_mask_);
  signals_.reset(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return system_error("signalfd", errno);
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) return system_error("eventfd", errno);
  watch(signals_.get(), [this] { take_signals(); });
  watch(wake_.get(), [this] { run_posted(); });
  return Ok{};
}

EventLoop::~EventLoop() { ::pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr); }

void EventLoop::watch(int descriptor, Callback ready) {
  watches_[descriptor] = std::make_shared<Watch>(Watch{descriptor, std::move(ready)});
}

void EventLoop::forget(int descriptor) { watches_.erase(descriptor); }

EventLoop::TimerId EventLoop::after(Milliseconds pause, Callback due) {
  auto id = ++last_timer_;
  timers_.emplace(std::pair(system_clock().now() + pause, id), std::move(due));
  return id;
}

void EventLoop::cancel(TimerId timer) {
  std::erase_if(timers_, [timer](const auto& entry) { return entry.first.second == timer; });
}

void EventLoop::on_exit(pid_t child, std::function<void(int)> ended) {
  children_[child] = std::move(ended);
  // It may have ended before this call, and its signal may have been taken already.
  post([this] { reap(); });
}

void EventLoop::post(Callback callback) {
  posted_.lock()->push_back(std::move(callback));
  uint64_t one = 1;
  [[maybe_unused]] auto ignored = ::write(wake_.get(), &one, sizeof(one));
}

void EventLoop::run() {
  running_ = true;
  while (running_) {
    run_timers();
    if (running_) wait();
  }
}

int EventLoop::milliseconds_to_timer() const {
  if (timers_.empty()) return -1;
  auto left = std::chrono::ceil<Milliseconds>(timers_.begin()->first.first - system_clock().now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000));
}

void EventLoop::wait() {
  std::vector<pollfd> polled;
  std::vector<std::weak_ptr<Watch>> asked;
  for (const auto& [descriptor, watch] : watches_) {
    polled.push_back({descriptor, POLLIN, 0});
    asked.push_back(watch);
  }
  if (::poll(polled.data(), polled.size(), milliseconds_to_timer()) <= 0) return;
  for (size_t i = 0; i < polled.size() && running_; ++i) {
    // A callback before this one may have removed it, and its number may be another's already.
    if (auto watch = polled[i].revents != 0 ? asked[i].lock() : nullptr) watch->ready();
  }
}

void EventLoop::run_timers() {
  auto now = system_clock().now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto due = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    due();
  }
}

void EventLoop::run_posted() {
  uint64_t count = 0;
  [[maybe_unused]] auto ignored = ::read(wake_.get(), &count, sizeof(count));
  auto now = std::exchange(*posted_.lock(), {});
  for (auto& callback : now) callback();
}

void EventLoop::take_signals() {
  signalfd_siginfo info{};
  bool child_ended = false, hang_up = false, terminate = false;
  while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo == SIGCHLD) {
      child_ended = true;
    } else if (info.ssi_signo == SIGHUP && hung_up_) {
      hang_up = true;
    } else {
      terminate = true;
    }
  }
  if (child_ended) reap();
  if (hang_up) hung_up_();
  if (terminate && terminated_) terminated_();
}

void EventLoop::reap() {
  std::vector<std::pair<std::function<void(int)>, int>> ended;
  for (auto child = children_.begin(); child != children_.end();) {
    int status = 0;
    pid_t reaped = ::waitpid(child->first, &status, WNOHANG);
    if (reaped == 0 || (reaped < 0 && errno != ECHILD)) {
      ++child;
      continue;
    }
    ended.emplace_back(std::move(child->second), status);
    child = children_.erase(child);
  }
  reap_adopted();
  for (auto& [callback, status] : ended) callback(status);
}

static bool is_of_a_worker(std::string_view comm) {
  if (comm.ends_with('\n')) comm.remove_suffix(1);
  return std::find(fs::kHelpers.begin(), fs::kHelpers.end(), comm) != fs::kHelpers.end();
}

// Never waitpid(-1): another thread may be waiting for its fusermount3.
void EventLoop::reap_adopted() {
  siginfo_t info{};
  while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
    auto name = io::read_file("/proc/" + std::to_string(info.si_pid) + "/comm", 64);
    if (!name || !is_of_a_worker(*name)) return;
    ::waitpid(info.si_pid, nullptr, 0);
    info = {};
  }
}

}  // namespace hitfs
