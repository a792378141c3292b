#pragma once

#include <atomic>
#include <cstdint>

#include "store/base/clock.h"

namespace hitfs::fs {

// When the request that this thread carries out was last seen to get on; the supervisor takes a request that does not
// for stalled. Set by whoever calls the handler; nullptr where nobody watches.
inline thread_local constinit std::atomic<int64_t>* request_progress = nullptr;

// For handlers that copy much: each piece counts as a new beginning.
inline void note_progress() {
  if (request_progress != nullptr) *request_progress = system_clock().now().time_since_epoch().count();
}

}  // namespace hitfs::fs
