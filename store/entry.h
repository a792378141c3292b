#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "store/digest.h"
#include "store/key.h"
#include "store/manifest.h"

namespace hitfs {

// One row of the index: what a key maps to. A value; `id` stays the same for as long as the entry exists.
struct Entry {
  uint64_t id = 0;    // first inode number of its range; position p of its manifest is inode id + p
  uint32_t span = 1;  // numbers in the range: max(1, records of the manifest)
  Key key;
  EntryKind kind = EntryKind::directory;
  int32_t exit_code = 0;
  std::optional<Digest> artifact;  // the wire form, where it is here as a blob
  uint64_t bytes = 0;              // sum of file sizes, or the artifact's size
  uint64_t files = 0;              // files of the tree; 1 for an artifact
  int64_t created_ns = 0;          // when it came into this store, since 1970
  int64_t last_used_ns = 0;        // at most ten minutes behind the truth
  std::string origin;              // "local", or the name of the remote it came from
  bool pinned = false;
  bool retired = false;  // no longer found by its key; bytes stay until the last mount lets go
};

}  // namespace hitfs
