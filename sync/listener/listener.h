#pragma once

#include <vector>

#include "sync/options.h"

namespace hitfs {

// The listener's process: answers build tools from the store, asks the daemon for the rest, goes on without it. Runs
// until SIGTERM or SIGINT; returns the process's exit code. The sockets are bound, listen and stay open in the
// supervisor, so a connect during a restart waits. Writes one byte to `ready_fd` (-1 for none) once it answers; an
// error before that goes to the log and ends it.
//
// Threads, and what each may wait for:
//   main             a signal
//   http (2 to 8)    sockets of the clients; lookups in the store
//   bodies (4)       the disk
//   quick (4)        the disk: lookups after a fetch
//   waiting (32)     the daemon: uploads handed over, trees packed
//   daemon client    the daemon's socket
//   events, uses     the daemon
// At the end the sockets stop first, then every wait for the daemon ends as a miss, then what was begun is answered.
int run_listener(const ListenerOptions& options, std::vector<int> listening_sockets, int ready_fd);

}  // namespace hitfs
