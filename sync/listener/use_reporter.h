#pragma once

#include <string>
#include <thread>
#include <vector>

#include "store/base/guarded.h"
#include "store/base/one_at_a_time.h"
#include "store/daemon_client.h"

namespace hitfs {

// Tells the daemon in batches how often its store was used: for statistics and for the order of eviction. While the
// daemon is away a bounded number is kept and the rest forgotten: nothing but a counter depends on it. Safe from
// several threads. One thread at a time sends; it waits for the daemon at most kPatience.
class UseReporter {
 public:
  static constexpr size_t kBatch = 512;
  static constexpr size_t kMostKept = 16384;
  static constexpr Milliseconds kPause{2000};
  static constexpr Milliseconds kPatience{5000};

  UseReporter(DaemonClient& daemon, std::string front);
  // Sends what is left once more; interrupt the client before if that must not wait.
  ~UseReporter();
  UseReporter(const UseReporter&) = delete;
  UseReporter& operator=(const UseReporter&) = delete;

  void add(Use use);
  // Sends everything collected so far and returns when the daemon has it, or could not be reached.
  void flush();

 private:
  void run(const std::stop_token& stop);
  // True when a batch is gone and another may be there.
  bool send_batch();

  DaemonClient& daemon_;
  const std::string front_;
  Guarded<std::vector<Use>> collected_;
  OneAtATime sending_;
  std::jthread thread_;
};

}  // namespace hitfs
