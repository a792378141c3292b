#pragma once

#include "sync/options.h"

namespace hitfs {

// The daemon's process: the only writer of the store and the only one with network and credentials. Runs until SIGTERM,
// SIGINT or POST /v1/stop; returns the process's exit code. Writes one byte to `ready_fd` (-1 for none) once hitfs.sock
// answers; an error before that goes to the log and ends it.
//
// Threads, and what each may wait for:
//   main            a signal
//   http (2)        sockets of the fronts; never for work: answers come from the others
//   timers (1)      the next timer; runs time-outs and ticks, which do not block
//   fetch (32)      a remote, the disk; at most Patience and the hour of Fetcher::kLongestPull
//   push (4 each)   a remote, the disk, the next job
//   commits (4)     the disk
//   after reboot (1)  the disk, once
//   long tasks (4)  flush and verify: the disk, the push queue
// They end in the opposite order: the interface first, then what it calls.
int run_daemon(const DaemonOptions& options, int ready_fd);

}  // namespace hitfs
