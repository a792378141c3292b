#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/supervisor/event_loop.h"
#include "store/base/backoff.h"
#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs {

struct ChildSpec {
  std::string name;                    // "daemon", "listener", "mount /path": for logs and messages
  std::string program;                 // the file to run; empty for arguments[0]
  std::vector<std::string> arguments;  // before "--config-fd 3 --ready-fd 4"
  Json config;
  std::vector<int> descriptors;  // inherited as 5, 6, ...; owned by others, open for as long as the child is
  std::vector<std::string> environment;
};

struct RestartPolicy {
  Milliseconds first_pause{0};  // 0: restart at once, always
  Milliseconds longest_pause{0};
  int most_in_window = 5;  // more ends within `window` and it is given up; 0: never
  Milliseconds window{60000};
  Milliseconds start_limit{60000};  // not ready by then: killed
};

// One process that the supervisor keeps alive. It gets its options through process_config, says "ready" with a byte on
// its --ready-fd, and dies with the supervisor. Its stderr goes line by line to `log`; the last line is what people are
// told when it fails. Belongs to the loop's thread.
class Child {
 public:
  enum class State {
    stopped,   // not running, not wanted
    starting,  // running, has not said that it is ready
    ready,     // serves
    waiting,   // ended, a pause runs before the next start
    stopping,  // asked to end
    failed,    // given up: its first start failed, or it ended too often
  };
  struct Observer {
    std::function<void()> ready;                         // at each start
    std::function<void(const std::string& why)> failed;  // once, on the way to State::failed
    std::function<void(const std::string& line)> log;
  };

  Child(EventLoop& loop, ChildSpec spec, RestartPolicy policy, Observer observer);
  ~Child();  // kills it
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void start();
  // SIGTERM, after `limit` SIGKILL; `done` when it is gone (at once when it was not running).
  void stop(Milliseconds limit, std::function<void()> done);
  // Its next end is expected: no restart, no failure.
  void retire() { retired_ = true; }
  // SIGKILL; it is restarted as after any other end.
  void kill();

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const std::string& name() const { return spec_.name; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int restarts() const { return restarts_; }
  [[nodiscard]] const std::string& last_line() const { return last_line_; }
  // {state, pid, restarts, disk_trouble: {text, time_ms}}, for `hitfs status`.
  [[nodiscard]] Json describe() const;

 private:
  Status launch();
  void on_ready_byte();
  bool read_output();  // false when there is nothing (more) to read now
  void take_line(const std::string& line);
  void on_exit(int status);
  void come_back(const std::string& why);
  void fail(const std::string& why);
  void finish_stop();
  [[nodiscard]] bool ended_too_often();

  EventLoop& loop_;
  ChildSpec spec_;
  RestartPolicy policy_;
  Observer observer_;
  Backoff backoff_;
  State state_ = State::stopped;
  pid_t pid_ = 0;
  UniqueFd ready_, output_;
  std::string partial_line_, last_line_;
  std::string disk_trouble_;
  int64_t disk_trouble_ms_ = 0;
  std::deque<MonotonicTime> ends_;
  bool was_ready_ = false;
  bool retired_ = false;
  int restarts_ = 0;
  EventLoop::TimerId timer_ = 0;
  std::function<void()> stopped_;
  // Callbacks that outlive this object find it gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

[[nodiscard]] std::string_view to_string(Child::State state);

// What a line of store/base/disk_trouble.h says; nothing for any other line.
[[nodiscard]] std::optional<std::string> disk_trouble_of_log_line(const std::string& line);

// The message of a log line of ours, without its time, process and folder.
[[nodiscard]] std::string message_of_log_line(const std::string& line);

}  // namespace hitfs
