#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/base/json.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs {

// Descriptors that outlive this process: a service manager keeps copies (systemd's file descriptor store,
// sd_pid_notify_with_fds(3)) and gives them to the process that it starts next (sd_listen_fds(3)). So mounts stay, and
// connects wait, while the supervisor is killed or renewed. Without a service manager nothing is kept and nothing
// found.
//
// A connection or a socket that is kept lives on although we closed it: forget() it first. One thread.
class FdStore {
 public:
  // Of a process that no service manager looks after.
  FdStore() = default;
  // Takes over what was kept for this process ($LISTEN_PID, $LISTEN_FDS, $LISTEN_FDNAMES, which are removed), and will
  // keep with $NOTIFY_SOCKET. Only for the main process of a service, at its start, before other threads.
  static FdStore of_service();

  [[nodiscard]] bool keeps() const { return keeps_; }
  // Names are [A-Za-z0-9-], each used once. A message that the manager does not take is only the comfort that is lost.
  void keep(const std::string& name, int descriptor) const;
  void keep(const std::string& name, const Json& json) const;
  void forget(const std::string& name) const;

  // What the process before had kept; each can be taken once.
  [[nodiscard]] std::vector<std::string> names() const;
  UniqueFd take(const std::string& name);  // empty: not there
  std::optional<Json> take_json(const std::string& name);
  // What nobody took is of no use any more.
  void forget_rest();

 private:
  bool keeps_ = false;
  std::map<std::string, UniqueFd> inherited_;
};

}  // namespace hitfs
