#include "store/upkeep/evictor.h"

#include <algorithm>
#include <optional>
#include <string>

#include "store/base/log.h"
#include "store/index/blob_table.h"
#include "store/upkeep/retire.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};

// Entries per transaction, so that commits in between do not wait for long.
constexpr int kEvictAtOnce = 64;

std::string select_entries(std::string_view rest) {
  return "SELECT " + std::string(kEntryColumns) + " FROM entries " + std::string(rest);
}

Result<std::optional<EntryRow>> first(sqlite::Query query) {
  auto row = query.next();
  if (!row) return std::move(row).error();
  if (!*row) return std::optional<EntryRow>();
  return std::optional(entry_row(query));
}

// One side of a limit: what is used, what of it goes away by itself, what is asked for.
bool side_fits(uint64_t limit, uint64_t used, uint64_t retired, uint64_t wanted) {
  if (limit == 0) return true;
  uint64_t stays = used - std::min(used, retired);
  return stays + wanted <= limit && used + wanted <= limit + limit / 2;
}

}  // namespace

Reservation::~Reservation() {
  if (evictor_ == nullptr) return;
  auto reserved = evictor_->reserved_.lock();
  reserved->bytes -= bytes_;
  reserved->files -= files_;
}

bool Evictor::fits(const Counters& counters, uint64_t bytes, uint64_t files) const {
  return side_fits(parts_.limits.max_bytes, counters.bytes, counters.retired_bytes, bytes) &&
         side_fits(parts_.limits.max_files, counters.files, counters.retired_files, files);
}

Result<Reservation> Evictor::reserve(uint64_t bytes, uint64_t files) {
  // Another commit may take the room that was made: a few tries, each of which evicts.
  for (int attempt = 0; attempt < 4; ++attempt) {
    Reserved others;
    {
      auto reserved = reserved_.lock();
      others = *reserved;
      auto counters = parts_.published.lock()->counters;
      if (fits(counters, others.bytes + bytes, others.files + files)) {
        reserved->bytes += bytes;
        reserved->files += files;
        return Reservation(*this, bytes, files);
      }
    }
    auto made = evict(others.bytes + bytes, others.files + files);
    if (!made) return std::move(made).error();
  }
  return Error{Code::no_space, "it needs " + std::to_string(bytes) + " bytes in " + std::to_string(files) +
                                   " files, which do not fit the store's limit of " +
                                   std::to_string(parts_.limits.max_bytes) +
                                   " bytes even after eviction; raise the limit"};
}

Result<std::vector<Entry>> Evictor::make_room(uint64_t bytes, uint64_t files) {
  auto others = *reserved_.lock();
  return evict(others.bytes + bytes, others.files + files);
}

Result<std::vector<Entry>> Evictor::evict(uint64_t bytes, uint64_t files) {
  std::vector<Entry> all;
  bool more = true;
  while (more) {
    RetiredRows retired(parts_.notices, "room");
    Change change;
    change.durable = true;  // bytes of derived artifacts are unlinked after it
    change.apply = [&](Index& index) -> Result<bool> {
      for (int step = 0; step < kEvictAtOnce; ++step) {
        more = !fits(index.counters(), bytes, files);
        if (!more) break;
        auto evicted = evict_one(index, retired);
        if (!evicted) return evicted;
        more = *evicted;
        if (!more) break;
      }
      return true;
    };
    change.settle = [&](Index&, bool committed) {
      retired.settle(committed);
      parts_.holds.freed();
    };
    auto done = parts_.lane->run(change);
    if (!done) return std::move(done).error();
    all.insert(all.end(), retired.entries().begin(), retired.entries().end());
    parts_.notices.deliver();
  }
  return all;
}

Result<bool> Evictor::evict_one(Index& index, RetiredRows& retired) {
  static const std::string kDerived = select_entries("WHERE derived > 0 AND state = 0 ORDER BY last_used_ns LIMIT 1");
  static const std::string kOldest = select_entries(
      "WHERE state = 0 AND pinned = 0 AND NOT EXISTS (SELECT 1 FROM pushes p WHERE p.entry_id = entries.id AND "
      "p.parked = 0 AND (?1 = 0 OR p.owner = ?2)) ORDER BY last_used_ns LIMIT 1");
  auto& database = index.database();
  auto derived = first(database.query(kDerived));
  if (!derived) return std::move(derived).error();
  if (*derived) {
    if (auto dropped = drop_derived(index, **derived); !dropped) return std::move(dropped).error();
    auto swept = BlobTable(index).sweep(parts_.holds, 1);
    if (!swept) return std::move(swept).error();
    return true;
  }

  uint64_t half = parts_.limits.max_bytes / 2;
  bool queue_too_long = parts_.limits.max_bytes != 0 && index.counters().push_bytes > half;
  auto oldest = first(database.query(kOldest, {int64_t{queue_too_long}, sqlite::number(index.generation())}));
  if (!oldest) return std::move(oldest).error();
  if (!*oldest) return false;
  auto before = index.counters();
  auto row = retire_row(parts_, index, **oldest);
  if (!row) return std::move(row).error();
  auto& counters = index.counters();
  uint64_t dropped = before.pushes + before.parked - counters.pushes - counters.parked;
  counters.dropped_pushes += dropped;
  counters.evicted += 1;
  if (dropped > 0) {
    kLog.warn("evict key={} bytes={} pushes_given_up={}", row->entry.key.text(), row->entry.bytes, dropped);
  }
  retired.add(*row);
  return true;
}

}  // namespace hitfs
