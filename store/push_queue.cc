#include "store/push_queue.h"

#include "store/index/push_table.h"
#include "store/index/sqlite.h"
#include "store/push_queue_impl.h"

namespace hitfs {

namespace {

using sqlite::number;

constexpr std::string_view kJobColumns =
    "p.id, p.entry_id, e.scope, e.space, e.name, p.remote, p.bytes, p.attempts, p.why, p.since_ms";

std::string select_jobs(std::string_view rest) {
  return "SELECT " + std::string(kJobColumns) + " FROM pushes p JOIN entries e ON e.id = p.entry_id " +
         std::string(rest);
}

PushJob job_row(const sqlite::Query& query) {
  return {query.integer(0), query.unsigned_integer(1), {query.text(2), query.text(3), query.text(4)},
          query.text(5),    query.unsigned_integer(6), static_cast<int>(query.integer(7))};
}

// Waits: not parked and not taken by this daemon. A row taken by a daemon before is free again.
const std::string kSmallest = select_jobs(
    "WHERE p.parked = 0 AND p.remote = ?1 AND p.not_before_ms <= ?2 AND p.owner <> ?3 ORDER BY p.bytes LIMIT 1");
const std::string kOldest = select_jobs(
    "WHERE p.parked = 0 AND p.remote = ?1 AND p.not_before_ms <= ?2 AND p.owner <> ?3 ORDER BY p.id LIMIT 1");

}  // namespace

Result<bool> StorePushQueue::change(std::function<Result<bool>(Index&)> apply) {
  // Not durable: a job that is done twice after a power cut does no harm, and a new one is as durable as its entry.
  Change change;
  change.apply = std::move(apply);
  return parts_.lane->run(change);
}

Result<std::optional<PushJob>> StorePushQueue::take(const std::string& remote, Order order, int64_t now_ms) {
  std::optional<PushJob> job;
  auto taken = change([&](Index& index) -> Result<bool> {
    auto generation = number(index.generation());
    {
      auto query = index.database().query(order == Order::smallest_first ? kSmallest : kOldest,
                                          {std::string_view(remote), now_ms, generation});
      auto row = query.next();
      if (!row) return std::move(row).error();
      if (!*row) return false;
      job = job_row(query);
    }
    auto owned = index.database().run("UPDATE pushes SET owner = ?2 WHERE id = ?1", {job->id, generation});
    if (!owned) return std::move(owned).error();
    return true;
  });
  if (!taken) return std::move(taken).error();
  if (job) running_.lock()->insert(job->id);
  return job;
}

Status StorePushQueue::done(const PushJob& job) {
  auto removed = change([&](Index& index) -> Result<bool> {
    if (auto gone = PushTable(index).remove_row(job.id); !gone) return std::move(gone).error();
    return true;
  });
  if (!removed) return std::move(removed).error();
  running_.lock()->erase(job.id);
  return Ok{};
}

Status StorePushQueue::retry(const PushJob& job, int64_t not_before_ms, const std::string& why) {
  auto waits = change([&](Index& index) -> Result<bool> {
    auto changed = index.database().run(
        "UPDATE pushes SET owner = 0, attempts = attempts + 1, not_before_ms = ?2, why = ?3 WHERE id = ?1",
        {job.id, not_before_ms, std::string_view(why)});
    if (!changed) return std::move(changed).error();
    return true;
  });
  if (!waits) return std::move(waits).error();
  running_.lock()->erase(job.id);
  return Ok{};
}

Status StorePushQueue::park(const PushJob& job, const std::string& why) {
  auto parked = change([&](Index& index) -> Result<bool> {
    auto& database = index.database();
    auto changed =
        database.run("UPDATE pushes SET owner = 0, parked = 1, why = ?2, since_ms = ?3 WHERE id = ?1 AND parked = 0",
                     {job.id, std::string_view(why), parts_.clock->unix_ms()});
    if (!changed) return std::move(changed).error();
    if (database.changes() == 0) return false;
    auto& counters = index.counters();
    counters.pushes -= 1;
    counters.push_bytes -= job.bytes;
    counters.parked += 1;
    return true;
  });
  if (!parked) return std::move(parked).error();
  running_.lock()->erase(job.id);
  return Ok{};
}

Result<uint64_t> StorePushQueue::unpark() {
  uint64_t unparked = 0;
  auto changed = change([&](Index& index) -> Result<bool> {
    auto query = index.database().query(
        "UPDATE pushes SET parked = 0, owner = 0, not_before_ms = 0, attempts = 0 WHERE parked = 1 RETURNING bytes");
    while (true) {
      auto row = query.next();
      if (!row) return std::move(row).error();
      if (!*row) break;
      index.counters().pushes += 1;
      index.counters().push_bytes += query.unsigned_integer(0);
      ++unparked;
    }
    index.counters().parked = 0;
    return true;
  });
  if (!changed) return std::move(changed).error();
  return unparked;
}

Status StorePushQueue::assign(const std::vector<std::string>& remotes, int64_t now_ms) {
  auto assigned = change([&](Index& index) -> Result<bool> {
    std::vector<PushJob> jobs;
    {
      auto query = index.database().query(select_jobs("WHERE p.remote = ?1"), {kUnknownRemote});
      while (true) {
        auto row = query.next();
        if (!row) return row;
        if (!*row) break;
        jobs.push_back(job_row(query));
      }
    }
    PushTable table(index);
    for (const auto& job : jobs) {
      Entry entry;
      entry.id = job.entry_id;
      entry.bytes = job.bytes;
      if (auto gone = table.remove_row(job.id); !gone) return std::move(gone).error();
      if (auto added = table.add(entry, remotes, now_ms); !added) return std::move(added).error();
    }
    return !jobs.empty();
  });
  if (!assigned) return std::move(assigned).error();
  return Ok{};
}

Status StorePushQueue::read_rows(const std::string& sql, size_t limit,
                                 const std::function<void(const sqlite::Query&)>& take) {
  auto read = change([&](Index& index) -> Result<bool> {
    auto query = index.database().query(sql, {number(limit)});
    while (true) {
      auto row = query.next();
      if (!row) return row;
      if (!*row) return false;
      take(query);
    }
  });
  if (!read) return std::move(read).error();
  return Ok{};
}

Result<std::vector<ParkedPush>> StorePushQueue::parked(size_t limit) {
  static const std::string kSql = select_jobs("WHERE p.parked = 1 ORDER BY p.since_ms LIMIT ?1");
  std::vector<ParkedPush> found;
  auto read = read_rows(kSql, limit, [&](const sqlite::Query& query) {
    found.push_back({job_row(query), query.text(8), query.integer(9)});
  });
  if (!read) return std::move(read).error();
  return found;
}

Result<bool> StorePushQueue::has(uint64_t entry_id) {
  bool found = false;
  auto read = change([&](Index& index) -> Result<bool> {
    auto query = index.database().query("SELECT 1 FROM pushes WHERE entry_id = ?1 LIMIT 1", {number(entry_id)});
    auto row = query.next();
    if (!row) return row;
    found = *row;
    return false;
  });
  if (!read) return std::move(read).error();
  return found;
}

Result<std::vector<PushJob>> StorePushQueue::pending(size_t limit) {
  static const std::string kSql = select_jobs("WHERE p.parked = 0 ORDER BY p.bytes LIMIT ?1");
  std::vector<PushJob> found;
  auto read = read_rows(kSql, limit, [&](const sqlite::Query& query) { found.push_back(job_row(query)); });
  if (!read) return std::move(read).error();
  return found;
}

Result<std::optional<int64_t>> StorePushQueue::next_due_ms(const std::string& remote) {
  std::optional<int64_t> due;
  auto read = change([&](Index& index) -> Result<bool> {
    auto query = index.database().query(
        "SELECT not_before_ms FROM pushes WHERE parked = 0 AND remote = ?1 AND owner <> ?2 "
        "ORDER BY not_before_ms LIMIT 1",
        {std::string_view(remote), number(index.generation())});
    auto row = query.next();
    if (row && *row) due = query.integer(0);
    if (!row) return row;
    return false;
  });
  if (!read) return std::move(read).error();
  return due;
}

PushQueueStats StorePushQueue::stats() {
  auto counters = parts_.published.lock()->counters;
  uint64_t running = std::min<uint64_t>(running_.lock()->size(), counters.pushes);
  return {counters.pushes - running, running, counters.parked, counters.push_bytes, counters.dropped_pushes};
}

}  // namespace hitfs
