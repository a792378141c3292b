#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/guarded.h"
#include "store/blobs/blob_holds.h"
#include "store/commit/commit_lane.h"
#include "store/commit/notices.h"
#include "store/entry_store.h"
#include "store/index/index.h"
#include "store/index/index_reader.h"
#include "store/index/numbers.h"
#include "store/store_paths.h"

namespace hitfs {

// What the parts of one open store share. They outlive every intake. Each member is safe from several threads, except
// `index`, which is the commit lane's.
struct StoreParts {
  StorePaths paths;
  StoreLimits limits;
  const Clock* clock = nullptr;
  std::string boot_id;
  std::unique_ptr<Index> index;
  std::unique_ptr<IndexReader> reader;
  std::unique_ptr<Numbers> numbers;
  std::unique_ptr<CommitLane> lane;
  BlobHolds holds;
  Notices notices;

  // As of the last transaction.
  struct Published {
    Counters counters;
    Epochs epochs;
    uint64_t durable_transactions = 0;
  };
  Guarded<Published> published;

  // Names in intakes/ that stay until the rows of their commit are on disk.
  struct IntakeNames {
    uint64_t transaction;
    std::vector<std::filesystem::path> names;
  };
  Guarded<std::vector<IntakeNames>> intake_names;
  // Commits since the last flush that were not durable.
  std::atomic<size_t> unflushed_commits = 0;

  std::atomic<uint64_t> next_intake = 0;
};

// Frees what no entry names and no intake holds, in several transactions so that each stays small.
Status sweep_blobs(StoreParts& parts);

// Removes the names in intakes/ of commits whose rows are on disk by now.
void remove_intake_names(StoreParts& parts);

// Makes everything committed so far durable.
Status flush_store(StoreParts& parts);

// Makes readers of all processes forget what they have open: bytes under a known name have changed.
Status note_damage(StoreParts& parts);

}  // namespace hitfs
