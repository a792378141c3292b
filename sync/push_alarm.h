#pragma once

#include <string>

#include "store/base/result.h"
#include "store/push_queue.h"

namespace hitfs {

// Runs the user's `on_push_failed` command by /bin/sh, with HITFS_KEY, HITFS_REMOTE and HITFS_WHY in an environment
// that is otherwise PATH and HOME only: no token reaches it. Waits 10 s for its end, then kills its process group.
Status run_push_alarm(const std::string& command, const PushJob& job, const std::string& why);

}  // namespace hitfs
