#include "fs/last_closes.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr Milliseconds kWithoutWatch{1000};
constexpr Milliseconds kAgain{5};
constexpr int kTries = 100;  // an entry may come between, and one more

}  // namespace

LastCloses::LastCloses(CloseWatch watch, Filesystem& filesystem)
    : watch_(std::move(watch)),
      filesystem_(&filesystem),
      wake_(::eventfd(0, EFD_CLOEXEC)),
      thread_([this](std::stop_token stop) { run(std::move(stop)); }) {}

LastCloses::~LastCloses() {
  thread_.request_stop();
  uint64_t one = 1;
  [[maybe_unused]] auto ignored = ::write(wake_.get(), &one, sizeof(one));
}

void LastCloses::finish(const Deadline& until) {
  auto finished = finished_.lock();
  finished.wait_until(thread_.get_stop_token(), until.when(), [](bool now) { return now; });
}

void LastCloses::run(std::stop_token stop) {
  watch_.watch();
  all_due_ = system_clock().now() + kWithoutWatch;
  while (!stop.stop_requested()) {
    send_questions();
    auto wanted = static_cast<short>(questions_.empty() ? POLLIN : POLLIN | POLLOUT);
    std::array<pollfd, 2> events{pollfd{watch_.fd(), wanted, 0}, pollfd{wake_.get(), POLLIN, 0}};
    ::poll(events.data(), events.size(), milliseconds_to_wait());
    if (events[0].revents != 0 && !take_news()) return end();
    ask_what_is_due();
  }
}

int LastCloses::milliseconds_to_wait() const {
  if (watched_ && again_.empty()) return -1;
  auto due = again_.empty() ? all_due_ : watched_ ? again_due_ : std::min(again_due_, all_due_);
  auto left = std::chrono::ceil<Milliseconds>(due - system_clock().now());
  return static_cast<int>(std::max<int64_t>(0, left.count()));
}

void LastCloses::ask_what_is_due() {
  auto now = system_clock().now();
  if (!again_.empty() && now >= again_due_) {
    for (const auto& name : std::exchange(again_, {})) ask(name);
  }
  if (!watched_ && now >= all_due_) {
    all_due_ = now + kWithoutWatch;
    ask_about_all();
    watch_.watch();
  }
}

// False when there will be no more.
bool LastCloses::take_news() {
  while (true) {
    auto news = watch_.next();
    if (!news) return false;
    if (!*news) return true;
    hear(**news);
  }
}

void LastCloses::hear(const CloseNews& news) {
  using Kind = CloseNews::Kind;
  kLog.debug("close_news kind={} name={} number={} error={}", static_cast<int>(news.kind), news.name, news.number,
             news.error);
  switch (news.kind) {
    case Kind::watching: watched_ = true; return ask_about_all();
    case Kind::not_had:
      if (!std::exchange(said_unwatched_, true)) {
        kLog.warn("close_watch error=\"{}\" effect=\"closes are looked for once a second\"",
                  system_error("inotify", news.error).message);
      }
      return;
    case Kind::missed: return ask_about_all();
    case Kind::closed: return ask(news.name);
    case Kind::free:
      asked_.erase(news.name);
      if (filesystem_->last_closed(news.name, news.number)) return;
      if (again_.empty()) again_due_ = system_clock().now() + kAgain;
      again_.insert(news.name);
      return;
    case Kind::no_file: asked_.erase(news.name); return;
    case Kind::unmounted: return complete_all_asked();
    case Kind::cannot_tell:
      asked_.erase(news.name);
      if (!std::exchange(said_unknown_, true)) {
        kLog.warn("close_unknown name={} error=\"{}\" effect=\"it stays on this machine\"", news.name,
                  system_error("lease", news.error).message);
      }
  }
}

// One that is still open will do: what was written since it was asked makes its answer count for nothing.
void LastCloses::ask(const std::string& name) {
  if (asked_.contains(name) || !filesystem_->note_writes(name)) return;
  kLog.debug("close_asked name={}", name);
  asked_.insert(name);
  questions_.push_back(name);
}

void LastCloses::ask_about_all() {
  for (const auto& name : filesystem_->written_in_place()) ask(name);
}

void LastCloses::send_questions() {
  while (!questions_.empty() && watch_.look_at(questions_.front())) questions_.pop_front();
}

// Nobody has anything open any more.
void LastCloses::complete_all_asked() {
  asked_.merge(again_);
  for (const auto& name : std::exchange(asked_, {})) {
    for (int tries = 0; tries < kTries && filesystem_->note_writes(name); ++tries) {
      if (filesystem_->last_closed(name, std::nullopt)) break;
    }
  }
  *finished_.lock() = true;
  finished_.notify_all();
}

// The next worker has a new process for it.
void LastCloses::end() {
  if (*finished_.lock()) return;
  kLog.error("close_watch_gone effect=\"the worker is started again\"");
  ::kill(::getpid(), SIGTERM);
}

}  // namespace hitfs::fs
