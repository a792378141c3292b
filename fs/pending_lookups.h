#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fs/absent_memory.h"
#include "fs/filesystem.h"
#include "store/base/guarded.h"
#include "store/daemon_client.h"
#include "store/key.h"

namespace hitfs::fs {

// Lookups that wait for a remote. Lookups of one name share one question to the daemon; each waits no longer than its
// own patience, whatever the daemon does, and ends at once when its program is interrupted. No reply is sent with a
// lock held. Safe from several threads. The destructor answers what still waits with not_found.
class PendingLookups {
 public:
  // `arrived` answers a lookup whose entry is here now; it runs on the thread of this object, never on the daemon
  // client's.
  using Arrived = std::function<void(const std::string& name, Reply<NodeReply> reply)>;
  struct Options {
    Milliseconds patience;
    Milliseconds absent_memory;
    const Clock* clock;
  };
  PendingLookups(const Options& options, DaemonClient& daemon, Arrived arrived);
  ~PendingLookups();

  // Answers `reply` later, or now when the name is known to be absent.
  void wait_for(const Key& key, const std::string& name, uint64_t unique, Reply<NodeReply> reply);
  void interrupt(uint64_t unique);

  void forget_absent(std::string_view name);
  void forget_all_absent();

 private:
  struct Shared;
  static void fetched(const std::shared_ptr<Shared>& shared, const std::string& name, const FetchReply& reply);
  void run(const std::stop_token& stop);

  DaemonClient& daemon_;
  Arrived arrived_;
  std::shared_ptr<Shared> shared_;  // also held by questions that are still under way when this object goes
  std::jthread thread_;
};

}  // namespace hitfs::fs
