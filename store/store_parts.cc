#include "store/store_parts.h"

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/blob_table.h"

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

void remove_flushed_names(StoreParts& parts) {
  uint64_t flushed = parts.published.lock()->epochs.flushed;
  std::vector<StoreParts::Unflushed> done;
  {
    auto unflushed = parts.unflushed.lock();
    std::vector<StoreParts::Unflushed> left;
    for (auto& one : *unflushed) (one.epoch <= flushed ? done : left).push_back(std::move(one));
    *unflushed = std::move(left);
  }
  for (const auto& one : done) {
    for (const auto& name : one.names) {
      auto gone = io::unlink(name, "intake");
      if (!gone) kLog.debug("unlink error=\"{}\"", gone.error().message);
    }
  }
}

Status flush_store(StoreParts& parts) {
  Change change;
  change.durable = true;
  change.sync_all = true;
  auto done = parts.lane->run(change);
  if (!done) return std::move(done).error();
  remove_flushed_names(parts);
  return Ok{};
}

Status note_damage(StoreParts& parts) {
  auto text = std::to_string(parts.clock->unix_ns()) + "\n";
  return io::replace_file(parts.paths.damage(), io::as_bytes(text), "damage");
}

}  // namespace hitfs
