#pragma once

#include <string_view>

namespace hitfs {

// True for errors of a system call that tell of the disk or of a limit of this system (ENOSPC, EDQUOT, EROFS, EIO,
// EMFILE, ENFILE, ENOMEM), whoever asked for what: somebody must hear of them.
[[nodiscard]] bool is_disk_trouble(int errno_value);

// Says so in the log: at most once a second for each step and reason. `hitfs status` shows the last such line of each
// process (cli/supervisor/child.h). Safe from several threads.
void warn_of_disk(std::string_view step, std::string_view why);

}  // namespace hitfs
