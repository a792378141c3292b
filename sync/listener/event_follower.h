#pragma once

#include <functional>
#include <string>
#include <thread>

#include "store/daemon_client.h"

namespace hitfs {

// Keeps the listener's long poll for the daemon's events. A listener remembers nothing about entries, so the only event
// that concerns it is `report`: send the uses collected so far; asking for the next events says that it is done. One
// thread; interrupt the client before destroying it.
class EventFollower {
 public:
  EventFollower(DaemonClient& daemon, std::string front, std::function<void()> report);
  ~EventFollower();
  EventFollower(const EventFollower&) = delete;
  EventFollower& operator=(const EventFollower&) = delete;

 private:
  void run(const std::stop_token& stop);

  DaemonClient& daemon_;
  const std::string front_;
  const std::function<void()> report_;
  std::jthread thread_;
};

}  // namespace hitfs
