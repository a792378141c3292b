#pragma once

#include "store/base/result.h"
#include "store/entry_store.h"
#include "store/store_paths.h"
#include "sync/incoming.h"

// Entries of namespaces that are kept as artifacts (nx) have to be unpacked for a mount to show them.
namespace hitfs {

// Whether a mount lives that shows such entries: it has a private folder. Looks at a few files.
[[nodiscard]] bool mounts_want_trees(const StorePaths& paths);

// Unpacks the visible entry of `key` and puts a tree in its place, with the artifact as its derived form: exactly these
// bytes are served until room is needed. An entry that has a tree stays as it is. `unavailable` while it is to be
// pushed; `corrupt` and `permission_denied` as admit_artifact(); `no_space` when others would have to go for it.
Result<Admission> unpack_entry(EntryStore& store, const Key& key, const GuardLimits& limits);

}  // namespace hitfs
