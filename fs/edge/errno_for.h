#pragma once

#include "fs/reply.h"

namespace hitfs::fs {

// The errno that a program sees; no other file names one for it.
[[nodiscard]] int errno_for(FsError error);

}  // namespace hitfs::fs
