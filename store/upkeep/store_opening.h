#pragma once

#include <memory>

#include "store/access_log.h"
#include "store/base/clock.h"
#include "store/base/result.h"
#include "store/index/index.h"
#include "store/index/numbers.h"
#include "store/store_paths.h"

// What happens between the lock and the first request. None of it looks at entries one by one, but after damage.
namespace hitfs {

// Makes the folders and the file `format` of a new store. `invalid_argument` for a newer format and for a folder that
// holds something else.
Status prepare_folders(const StorePaths& paths);

struct OpenedIndex {
  std::unique_ptr<Index> index;
  std::unique_ptr<Numbers> numbers;
};

// Opens the index and the numbers. A damaged or lost index is kept aside (index.db.damaged-<time>) and made again from
// what else is on the disk, with numbers above the high-water mark.
Result<OpenedIndex> open_index(const StorePaths& paths, const std::string& boot_id, const Clock& clock, AccessLog& log);

// Leaves word for the next open that the index is damaged.
void mark_index_damaged(const StorePaths& paths);

}  // namespace hitfs
