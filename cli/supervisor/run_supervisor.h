#pragma once

#include "cli/supervisor/supervisor.h"

namespace hitfs {

// The life of a supervisor process, from its lock to its end. `ready_fd`: where the starter listens (-1: nobody).
// Returns the failure that ended it, if one did.
Status run_supervisor(SupervisorOptions options, SupervisorParts parts, int ready_fd);

}  // namespace hitfs
