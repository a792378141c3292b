#pragma once

#include <cstdint>

#include "fs/slots/slot_format.h"

namespace hitfs::fs {

// The request that this thread carries out. libfuse does not tell a handler the kernel's number of its request, and a
// fatal signal has to know whom to blame. Plain data, so that a signal handler may read it.
struct CurrentRequest {
  uint64_t unique = 0;
  format::SlotDescriptor* descriptor = nullptr;
  bool threw = false;  // its handler ended with an exception
};

inline thread_local constinit CurrentRequest current_request;

}  // namespace hitfs::fs
