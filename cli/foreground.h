#pragma once

#include <csignal>
#include <string>
#include <vector>

#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs {

// Signals while a user's command runs in the foreground, in our process group: SIGINT and SIGQUIT reach it from the
// terminal by themselves and are ignored here; SIGTERM and SIGHUP, which reach only us, are passed on. Make it before
// threads start, in the main thread. They stay blocked after it: an interrupt that comes when the command has just ended
// must not take the place of the command's exit code.
class ForegroundSignals {
 public:
  ForegroundSignals();
  ForegroundSignals(const ForegroundSignals&) = delete;
  ForegroundSignals& operator=(const ForegroundSignals&) = delete;

  // For the command.
  [[nodiscard]] const sigset_t& old_mask() const { return old_mask_; }
  // The next signal that came; waits for one when `wait`, else 0 when there is none.
  int next(bool wait);
  // Whether somebody asked us to end since the last call.
  bool asked_to_end();

 private:
  sigset_t old_mask_{};
  UniqueFd signals_;
};

// How a command ended.
struct CommandEnd {
  int exit_code = 0;
  int signal = 0;            // it died by this one
  bool told_to_end = false;  // SIGINT, SIGTERM or SIGHUP came meanwhile
};

// Runs the command with our terminal, folder and descriptors, and waits for its end. `not_found` and
// `permission_denied` as of exec.
Result<CommandEnd> run_in_foreground(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                                     ForegroundSignals& signals);

// The exit code for `end`; does not return when the same signal ends us as well.
int end_alike(const CommandEnd& end);

// Says why a command did not start, and returns 126 or 127.
int report_not_started(const std::string& command, const Error& why);

}  // namespace hitfs
