#include "store/index/push_table.h"

#include <algorithm>

namespace hitfs {

using sqlite::number;

namespace {

void uncount(Counters& counters, bool parked, uint64_t bytes) {
  if (parked) {
    counters.parked -= std::min<uint64_t>(counters.parked, 1);
    return;
  }
  counters.pushes -= std::min<uint64_t>(counters.pushes, 1);
  counters.push_bytes -= std::min(counters.push_bytes, bytes);
}

}  // namespace

Status PushTable::add(const Entry& entry, const std::vector<std::string>& remotes, int64_t now_ms) {
  for (const auto& remote : remotes) {
    auto added = index_.database().run("INSERT INTO pushes(entry_id, remote, bytes, since_ms) VALUES(?1, ?2, ?3, ?4)",
                                       {number(entry.id), std::string_view(remote), number(entry.bytes), now_ms});
    if (!added) return added;
    index_.counters().pushes += 1;
    index_.counters().push_bytes += entry.bytes;
  }
  return Ok{};
}

Result<bool> PushTable::is_queued(uint64_t entry_id) {
  auto query =
      index_.database().query("SELECT 1 FROM pushes WHERE entry_id = ?1 AND parked = 0 LIMIT 1", {number(entry_id)});
  return query.next();
}

Result<uint64_t> PushTable::remove(uint64_t entry_id) {
  auto query =
      index_.database().query("DELETE FROM pushes WHERE entry_id = ?1 RETURNING parked, bytes", {number(entry_id)});
  uint64_t removed = 0;
  while (true) {
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return removed;
    uncount(index_.counters(), query.integer(0) != 0, query.unsigned_integer(1));
    ++removed;
  }
}

Status PushTable::remove_row(int64_t id) {
  auto query = index_.database().query("DELETE FROM pushes WHERE id = ?1 RETURNING parked, bytes", {id});
  auto row = query.next();
  if (!row) return std::move(row).error();
  if (*row) uncount(index_.counters(), query.integer(0) != 0, query.unsigned_integer(1));
  return Ok{};
}

}  // namespace hitfs
