#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "store/base/json.h"
#include "store/base/unique_fd.h"
#include "store/store_paths.h"
#include "sync/options.h"
#include "tests/drills/crash/shared_kill_page.h"

namespace hitfs::testing {

// The daemon of the hitfs that was built, as its supervisor would start it, watched by the page. One at a time.
class KilledDaemon {
 public:
  KilledDaemon(const DaemonOptions& options, const SharedKillPage& page);
  ~KilledDaemon() { end(); }
  KilledDaemon(const KilledDaemon&) = delete;
  KilledDaemon& operator=(const KilledDaemon&) = delete;

  // Whether it got as far as serving; it may have been killed before.
  bool start();
  [[nodiscard]] bool alive();
  void signal(int number) const;
  // Waits for its end; gives the status of waitpid(). It must be ending: SIGKILL comes after a minute.
  int wait();
  void end();  // SIGKILL, if it runs

 private:
  Json config_;
  std::vector<std::string> environment_;
  std::string program_;
  pid_t pid_ = -1;
};

}  // namespace hitfs::testing
