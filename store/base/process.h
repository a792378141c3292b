#pragma once

#include <sys/types.h>

#include <csignal>

#include "store/base/clock.h"

// What every process of ours that works for others does at its start and at its end.
namespace hitfs {

// Nobody of the same uid may attach to this process and read the secrets in its memory (exec resets this, so each
// process says it); a peer that is gone is an error of the call, not the end of the process.
void protect_process();

// As many open files as the system allows: hundreds of connections, each with a file. The soft limit of 1024 is for
// programs that use select().
void raise_file_limit();

// SIGTERM and SIGINT, for the main thread alone. Made before the first other thread, which inherits the blocked
// signals.
class EndSignals {
 public:
  EndSignals();
  // Waits for one of them and returns it.
  [[nodiscard]] int wait() const;

 private:
  sigset_t signals_;
};

// Whether a thread of that process sleeps uninterruptibly (state D in /proc), as while a disk does not answer. False
// when it cannot be told.
[[nodiscard]] bool waits_for_disk(pid_t process);

// The CPU time that all threads of that process have used; 0 when it cannot be told.
[[nodiscard]] Nanoseconds cpu_time(pid_t process);

// One byte for whoever started us: the process serves. -1 is nobody. Closes the descriptor.
void tell_ready(int ready_fd);

}  // namespace hitfs
