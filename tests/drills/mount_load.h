#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "tests/drills/call_tally.h"
#include "tests/drills/model_entries.h"
#include "tests/support/shared_memory.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

// Programs that use a mount: processes of several threads, each with a folder and entries of its own beside the entries
// that all read. Every call is checked against what it must return; the first that does not ends its thread.
class MountLoad {
 public:
  struct Plan {
    std::filesystem::path mount;
    SharedEntries entries;
    unsigned first_thread = 0;  // threads are numbered from here on, each number once in the life of a store
    int processes = 3;
    int threads = 4;            // of each process
    std::optional<uid_t> user;  // whom the processes belong to; the test's own user without
  };
  explicit MountLoad(Plan plan);
  ~MountLoad();

  [[nodiscard]] const CallTally& calls() const { return board_->calls; }
  [[nodiscard]] const RemoteTally& remote() const { return board_->remote; }
  // Lets every thread end with a look at everything it knows, and waits; false when a process did not end in order.
  bool finish();

 private:
  struct Board {
    CallTally calls;
    RemoteTally remote;
    std::atomic<bool> stop = false;
  };
  [[nodiscard]] int carry_out(int process);
  void work(unsigned thread);

  Plan plan_;
  SharedMemory<Board> board_;
  std::vector<std::unique_ptr<TestProcess>> processes_;
};

}  // namespace hitfs::testing
