#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/base/result.h"
#include "store/index/index.h"

namespace hitfs {

// Rows of the push queue, with the counters that they change, for the transactions of entries. Called by the
// CommitLane's leader only.
class PushTable {
 public:
  explicit PushTable(Index& index) : index_(index) {}

  Status add(const Entry& entry, const std::vector<std::string>& remotes, int64_t now_ms);
  // Whether a push of the entry waits or runs (parked ones do not count).
  Result<bool> is_queued(uint64_t entry_id);
  // Removes what is left for an entry that is retired. Gives the number of rows.
  Result<uint64_t> remove(uint64_t entry_id);
  // Removes one row; nothing when it is gone already.
  Status remove_row(int64_t id);

 private:
  Index& index_;
};

}  // namespace hitfs
