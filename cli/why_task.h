#pragma once

#include <string>

#include "cli/context.h"
#include "cli/lease.h"

namespace hitfs {

// Whether this is the name of a task ("lib-a:build", "@org/lib-a:build:production") rather than a key or a path.
[[nodiscard]] bool is_task_name(const std::string& text);

// Says from the run lists of HEAD and its first parents under which key others had the task, whether that is the key it
// has here (as nx's last run in this workspace noted it), and what happened to the key. Returns the exit code.
int why_task(const Context& context, Lease& lease, const std::string& task);

}  // namespace hitfs
