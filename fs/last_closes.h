#pragma once

#include <deque>
#include <set>
#include <string>
#include <thread>

#include "fs/edge/close_watch.h"
#include "fs/filesystem.h"
#include "store/base/guarded.h"

namespace hitfs::fs {

// Completes files at the last close, in a mount whose layout says so. Each close of a writer raises a question (does
// anybody else write?); the answer counts if nothing was written since the question. Without inotify, and after a
// worker was killed, all files that are written in place are asked about: then once a second.
class LastCloses {
 public:
  // The filesystem outlives it. Begins when the mount is served.
  LastCloses(CloseWatch watch, Filesystem& filesystem);
  ~LastCloses();
  LastCloses(const LastCloses&) = delete;
  LastCloses& operator=(const LastCloses&) = delete;

  // When the mount is gone: waits until each close before is dealt with. One that was aborted has nothing to say.
  void finish(const Deadline& until);

 private:
  void run(std::stop_token stop);
  [[nodiscard]] int milliseconds_to_wait() const;
  void ask_what_is_due();
  bool take_news();
  void hear(const CloseNews& news);
  void ask(const std::string& name);
  void ask_about_all();
  void send_questions();
  void complete_all_asked();
  void end();

  CloseWatch watch_;
  Filesystem* filesystem_;
  bool watched_ = false, said_unwatched_ = false, said_unknown_ = false;
  std::deque<std::string> questions_;  // not yet sent
  std::set<std::string> asked_;        // not yet answered
  std::set<std::string> again_;        // answered, but it did not count
  MonotonicTime again_due_{}, all_due_{};
  Guarded<bool> finished_;
  UniqueFd wake_;
  std::jthread thread_;
};

}  // namespace hitfs::fs
