#include "store/store_parts.h"

#include <algorithm>
#include <iterator>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/index/blob_table.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};

// Rows per transaction: tens of milliseconds, during which commits wait.
constexpr size_t kSweepAtOnce = 4096;

}  // namespace

Status sweep_blobs(StoreParts& parts) {
  size_t freed = 0;
  do {
    // Durable: the files are unlinked right after it, and their rows must not come back.
    Change change;
    change.durable = true;
    change.apply = [&](Index& index) -> Result<bool> {
      auto swept = BlobTable(index).sweep(parts.holds, kSweepAtOnce);
      if (!swept) return std::move(swept).error();
      freed = *swept;
      return freed > 0;
    };
    change.settle = [&](Index&, bool) { parts.holds.freed(); };
    if (auto done = parts.lane->run(change); !done) return std::move(done).error();
  } while (freed == kSweepAtOnce);
  return Ok{};
}

void remove_intake_names(StoreParts& parts) {
  uint64_t durable = parts.published.lock()->durable_transactions;
  std::vector<StoreParts::IntakeNames> done;
  {
    auto all = parts.intake_names.lock();
    auto first_done =
        std::partition(all->begin(), all->end(), [&](const auto& one) { return one.transaction > durable; });
    std::move(first_done, all->end(), std::back_inserter(done));
    all->erase(first_done, all->end());
  }
  for (const auto& one : done) {
    for (const auto& name : one.names) {
      auto gone = io::unlink(name, "intake");
      // What stays is removed at the next open.
      if (!gone && gone.error().code != Code::not_found) kLog.warn("unlink error=\"{}\"", gone.error().message);
    }
  }
}

Status flush_store(StoreParts& parts) {
  Change change;
  change.durable = true;
  change.sync_all = true;
  parts.unflushed_commits = 0;
  auto done = parts.lane->run(change);
  if (!done) return std::move(done).error();
  remove_intake_names(parts);
  return Ok{};
}

Status note_damage(StoreParts& parts) {
  auto text = std::to_string(parts.clock->unix_ns()) + "\n";
  return io::replace_file(parts.paths.damage(), io::as_bytes(text), "damage");
}

}  // namespace hitfs
