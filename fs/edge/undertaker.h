#pragma once

#include <sys/types.h>

#include "fs/slots/slots.h"

namespace hitfs::fs {

// Ends what a supervisor that was killed leaves behind. With the supervisor its worker dies, and with the last process
// that has the connection the kernel lets every caller go. But the notify process can be stuck: it waits,
// uninterruptibly and with the connection open, for a directory in which a LOOKUP waits for an answer that nobody will
// give. So a process of its own waits for the deaths of both, and then answers every request with a failure until the
// notify process is free and gone. One that dies with a living supervisor leaves everything to the next worker.
class Undertaker {
 public:
  // Forks: call it in the worker, before the process has threads. The descriptors stay the caller's.
  static Result<Undertaker> start(int fuse_fd, int slots_fd, pid_t notify);

  // Before an orderly end: nobody is needed.
  void dismiss() const;

 private:
  explicit Undertaker(pid_t process) : process_(process) {}
  pid_t process_;
};

}  // namespace hitfs::fs
