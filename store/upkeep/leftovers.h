#pragma once

#include "store/base/result.h"
#include "store/index/index.h"
#include "store/store_paths.h"

namespace hitfs {

// Removes what a daemon that died left in intakes/, and what it had already placed without its rows having come about.
// A name there is <generation>-<intake>-<kind>-<what>: kind `pack` and `manifest` with the number, `blob` and `spare`
// with the hex digest, `part` for a file that never got that far. Looks at nothing else, whatever the size of the
// store.
Status remove_leftovers(const StorePaths& paths, Index& index);

}  // namespace hitfs
