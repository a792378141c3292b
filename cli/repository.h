#pragma once

#include "cli/context.h"
#include "cli/git.h"

namespace hitfs {

// The repository of the current folder, for a git that sees no secret of this process.
[[nodiscard]] GitRepository git_repository(const Context& context);

}  // namespace hitfs
