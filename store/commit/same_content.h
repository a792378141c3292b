#pragma once

#include "store/index/index_rows.h"
#include "store/manifest.h"

namespace hitfs {

// Whether a new entry says the same as the one that its key has: the same wire form, or the same tree. `with_times`:
// modification times count too; they do for what replaces an entry, not for what only asks whether it is known.
[[nodiscard]] bool same_content(const ManifestView& made, const ManifestView& existing, const EntryRow& existing_row,
                                bool with_times);

}  // namespace hitfs
