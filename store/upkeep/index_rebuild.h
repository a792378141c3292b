#pragma once

#include <cstdint>

#include "store/access_log.h"
#include "store/base/result.h"
#include "store/index/index.h"
#include "store/store_paths.h"

namespace hitfs {

// What a new index was made from.
struct RebuildReport {
  uint64_t entries = 0;
  uint64_t blobs = 0;
  uint64_t lost = 0;    // packs and manifests that are damaged, and manifests of which a blob is missing
  uint64_t pushes = 0;  // entries of this machine that no remote is known to have
};

// Fills a new and empty index from what else lies in the store: blobs by the tables of packs and the names of files,
// entries by their manifests (of several with one key the last, the others are retired), where each came from and
// whether it was pushed by the access log. Everything is suspect until somebody has read it (check_after_reboot), and
// on disk when this returns. What belongs to no entry is freed, what is damaged goes. Memory does not grow with the
// bytes.
Result<RebuildReport> rebuild_index(const StorePaths& paths, Index& index, AccessLog& log, int64_t now_ms);

}  // namespace hitfs
