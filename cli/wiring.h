#pragma once

#include "cli/context.h"

// The one place that knows every concrete type: which processes the binary can be, and with what they are made.
namespace hitfs {

// This binary as the programs that commands start.
[[nodiscard]] Programs own_programs();

// "supervisor", "daemon", "listener", "mount-worker": started by hitfs itself, with options in a descriptor.
[[nodiscard]] bool is_internal_command(const char* name);
int run_internal_command(int count, char** values);

}  // namespace hitfs
