#include "fs/last_closes.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <utility>

#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr Milliseconds kWithoutWatch{1000};

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
  while (!stop.stop_requested()) {
    send_questions();
    auto wanted = static_cast<short>(questions_.empty() ? POLLIN : POLLIN | POLLOUT);
    std::array<pollfd, 2> events{pollfd{watch_.fd(), wanted, 0}, pollfd{wake_.get(), POLLIN, 0}};
    int ready = ::poll(events.data(), events.size(), watched_ ? -1 : static_cast<int>(kWithoutWatch.count()));
    if (ready == 0) {
      ask_about_all();
      watch_.watch();
    }
    if (events[0].revents != 0 && !take_news()) return end();
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
      if (!filesystem_->last_closed(news.name, news.number)) ask(news.name);
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
  for (const auto& name : std::exchange(asked_, {})) {
    while (filesystem_->note_writes(name) && !filesystem_->last_closed(name, std::nullopt)) {
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
