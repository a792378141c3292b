#pragma once

#include <string>
#include <thread>
#include <vector>

#include "fs/filesystem.h"
#include "store/base/guarded.h"
#include "store/base/one_at_a_time.h"

namespace hitfs::fs {

// Keeps one mount in touch with the daemon. Two threads that may wait for it, and so serve no request: one keeps the
// long poll for events open, one reports uses and released entries every 200 ms. Without a daemon they try again with
// growing pauses; nothing that must not be lost is lost.
class DaemonLink {
 public:
  // All of them outlive the link.
  DaemonLink(std::string front, DaemonClient& daemon, Filesystem& filesystem);
  ~DaemonLink();  // waits for a long poll under way, up to half a minute

  // Reports what there is now, and returns when the daemon has it, what another thread is telling it included. At most
  // until the deadline.
  void report(const Deadline& until);
  // At the end of the mount: reports, and says that nobody has to wait for this front any more.
  void leave(const Deadline& until);

 private:
  void follow_events(std::stop_token stop);
  void report_often(std::stop_token stop);
  void handle(const EventBatch& batch);
  void report_all(const Deadline& until);

  struct Reports {
    std::vector<Use> uses;           // bounded: the oldest are lost
    std::vector<uint64_t> released;  // kept until the daemon has heard
  };

  std::string front_;
  DaemonClient* daemon_;
  Filesystem* filesystem_;
  OneAtATime reporting_;
  Guarded<Reports> reports_;  // taken from the Filesystem and not yet told
  std::jthread events_thread_;
  std::jthread report_thread_;
};

}  // namespace hitfs::fs
