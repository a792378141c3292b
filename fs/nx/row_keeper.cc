#include "fs/nx/row_keeper.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "fs/nx/database_watch.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr Milliseconds kRetryLater{1000};  // somebody keeps it busy

// Removes the rows of one database that have nothing behind them.
Status remove_bare_rows(const std::filesystem::path& path, const std::set<std::string>& names) {
  if (PrivateFiles::has_turso_side_file(path)) return Ok{};
  auto database = NxDatabase::open(path, sqlite::Access::read_write);
  if (!database && database.error().code == Code::not_found) return Ok{};
  auto rows = database ? database->hashes() : Result<std::set<std::string>>(database.error());
  if (!rows) return in_context(path.string(), std::move(rows).error());
  std::vector<std::string> bare;
  std::set_difference(rows->begin(), rows->end(), names.begin(), names.end(), std::back_inserter(bare));
  if (bare.empty()) return Ok{};
  kLog.info("rows_without_files database={} rows={}", path.filename().string(), bare.size());
  return database->remove(bare);
}

// From the databases of which `from` holds. One that is just being made has none.
Status remove_row(const std::vector<std::filesystem::path>& databases, const std::string& hash,
                  bool (*from)(const NxDatabase&)) {
  for (const auto& path : databases) {
    if (PrivateFiles::has_turso_side_file(path)) continue;
    auto database = NxDatabase::open(path, sqlite::Access::read_write);
    if (!database && database.error().code == Code::not_found) continue;
    if (database && !from(*database)) continue;
    auto removed = database ? database->remove({hash}) : Status(database.error());
    if (!removed) return in_context(path.filename().string(), removed.error());
  }
  return Ok{};
}

}  // namespace

RowKeeper::RowKeeper(std::filesystem::path folder, RowSource& source)
    : files_(std::move(folder)), outside_(files_.outside_list()), source_(source) {}

void RowKeeper::stop() {
  work_.lock()->closed = true;  // from here on nothing is added
  for (auto& thread : threads_) thread.request_stop();
  threads_.clear();
  // Each of them answers somebody.
  auto left = std::exchange(work_.lock()->tasks, {});
  for (auto& task : left) task();
}

Status RowKeeper::begin() {
  if (auto made = files_.make(); !made) return made;
  auto names = source_.names();
  if (!names) return std::move(names).error();
  for (const auto& path : files_.all_databases()) {
    auto removed = remove_bare_rows(path, *names);
    // What its rows say is not known, and nx makes a new one.
    if (!removed && removed.error().code == Code::corrupt) {
      kLog.warn("removed: {}", removed.error().message);
      removed = PrivateFiles::remove(path);
    }
    if (!removed) return removed;
  }
  if (auto loaded = outside_.load(); !loaded) kLog.warn("nx_databases outside: {}", loaded.error().message);
  remove_bare_rows_outside(*names);
  project_all();
  threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
  threads_.emplace_back(
      [this](const std::stop_token& stop) { watch_for_databases(files_.folder(), stop, [this] { project_all(); }); });
  return Ok{};
}

// --- what is asked for ---

void RowKeeper::add(std::function<void()> task, const Done& done) {
  auto refuse = [done] { done(Error{Code::unavailable, "the mount ends"}); };
  auto guarded = [this, task = std::move(task), refuse] {
    bool closed = work_.lock()->closed;
    closed ? refuse() : task();
  };
  bool closed = false;
  {
    // Under the lock under which stop() closes: what is added later than that would be answered by nobody.
    auto work = work_.lock();
    closed = work->closed;
    if (!closed) work->tasks.push_back(std::move(guarded));
    ++work->changes;
  }
  if (closed) return refuse();
  work_.notify_all();
}

void RowKeeper::project(const std::string& hash) {
  {
    auto work = work_.lock();
    work->hashes.insert(hash);
    ++work->changes;
  }
  work_.notify_all();
}

void RowKeeper::announce(const std::vector<std::string>& hashes) {
  {
    auto work = work_.lock();
    work->announced.insert(hashes.begin(), hashes.end());
    ++work->changes;
  }
  work_.notify_all();
}

void RowKeeper::project_all() {
  {
    auto work = work_.lock();
    work->all = true;
    ++work->changes;
  }
  work_.notify_all();
}

// The thread takes what is to be projected before each task.
void RowKeeper::when_projected(Done done) {
  add([done] { done(Ok{}); }, done);
}

void RowKeeper::remove(const std::string& hash, Done done) {
  add([this, hash, done] { done(remove_now(hash)); }, done);
}

void RowKeeper::withdraw(const std::string& hash, Done done) {
  add([this, hash, done] { done(withdraw_now(hash)); }, done);
}

void RowKeeper::wipe(const std::string& name, Done done) {
  auto task = [this, path = files_.folder() / name, done] {
    // Not only because it is another file now: file systems give the same number again.
    filled_.erase(path);
    done(PrivateFiles::remove(path));
  };
  add(std::move(task), done);
}

void RowKeeper::prepare(const std::string& nx_version, Done done) {
  auto task = [this, nx_version, done] {
    auto made = make_database(nx_version);
    if (made) fill_new_databases();
    done(made);
  };
  add(std::move(task), done);
}

void RowKeeper::adopt(const std::filesystem::path& folder, Done done) {
  if (outside_.knows(folder)) return done(Ok{});
  auto task = [this, folder, done] {
    kLog.info("nx_database outside of the mount: {} (hitfs run leads nx to one inside)", folder.string());
    auto added = outside_.add(folder);
    auto names = source_.names();
    if (names) remove_bare_rows_outside(*names);
    done(names ? added : Status(names.error()));
  };
  add(std::move(task), done);
}

void RowKeeper::leave() {
  stop();
  remove_bare_rows_outside({});
}

// --- the thread ---

// Nx to 22.6 throws away what another version made, and its first lookups would find nothing: then rather a new one
// now.
Status RowKeeper::make_database(const std::string& nx_version) {
  auto name = shared_database_of(nx_version);
  if (!name) return Error{Code::invalid_argument, "nx version " + nx_version + " cannot be read"};
  auto path = files_.folder() / *name;
  auto lock = PrivateFiles::try_lock(path);
  if (!lock || !*lock) return Ok{};  // nx is at it
  auto other = is_of_another_version(path, nx_version);
  if (other && *other) {
    filled_.erase(path);
    if (auto removed = PrivateFiles::remove(path); !removed) return removed;
  }
  return make_shared_database(files_.folder(), nx_version);
}

void RowKeeper::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::function<void()> task;
    std::set<std::string> hashes, announced;
    bool all = false;
    {
      auto work = work_.lock();
      bool due = work->retry && *work->retry <= system_clock().now();
      if (due) work->retry.reset();
      all = std::exchange(work->all, false) || due;
      hashes = std::exchange(work->hashes, {});
      if (due) hashes.merge(std::exchange(stuck_, {}));
      announced = std::exchange(work->announced, {});
      if (!work->tasks.empty()) {
        task = std::move(work->tasks.front());
        work->tasks.pop_front();
      }
      if (!task && hashes.empty() && announced.empty() && !all) {
        auto seen = work->changes;
        auto until = work->retry.value_or(system_clock().now() + std::chrono::hours(1));
        work.wait_until(stop, until, [&](const Work& now) { return now.changes != seen; });
        continue;
      }
    }
    if (all) fill_new_databases();
    if (!hashes.empty()) project_now(hashes);
    if (!announced.empty()) announce_now(announced);
    if (task) task();
  }
}

void RowKeeper::project_now(const std::set<std::string>& hashes) {
  std::vector<std::string> rows, bare;
  for (const auto& hash : hashes) {
    bool promised = promised_.erase(hash) > 0;
    if (source_.publish(hash)) {
      rows.push_back(hash);
    } else if (promised) {
      bare.push_back(hash);  // it came, and is not what its row says
    }
  }
  if (!rows.empty()) {
    change_all([&](NxDatabase& database) { return database.put(rows); });
  }
  for (const auto& hash : bare) {
    auto removed = withdraw_now(hash);
    if (removed) continue;
    kLog.warn("rows of={} stay for now: {}", hash, removed.error().message);
    promised_.insert(hash);
    stuck_.insert(hash);
    try_again(kRetryLater);
  }
}

void RowKeeper::announce_now(const std::set<std::string>& hashes) {
  const std::vector<std::string> names(hashes.begin(), hashes.end());
  change_all([&](NxDatabase& database) { return put_announced(database, names); });
}

Status RowKeeper::put_announced(NxDatabase& database, const std::vector<std::string>& hashes) {
  if (!database.is_announcing()) return Ok{};
  std::vector<std::string> rows;
  for (const auto& hash : hashes) {
    if (source_.announce(hash)) rows.push_back(hash);
  }
  if (rows.empty()) return Ok{};
  // Before: what is written in part must be known too.
  promised_.insert(rows.begin(), rows.end());
  return database.announce(rows);
}

// A database that misses a row is a miss; it is filled anew then.
void RowKeeper::change_all(const std::function<Status(NxDatabase&)>& change) {
  for (const auto& path : files_.shared_databases()) {
    auto identity = identity_of(path);
    auto filled = filled_.find(path);
    if (!identity || filled == filled_.end() || filled->second != *identity) continue;
    if (PrivateFiles::has_turso_side_file(path)) {
      filled_.erase(filled);
      continue;
    }
    auto database = NxDatabase::open(path, sqlite::Access::read_write);
    auto changed = database ? change(*database) : Status(database.error());
    if (changed) continue;
    kLog.warn("rows database={} error=\"{}\"", path.filename().string(), changed.error().message);
    filled_.erase(filled);
    try_again(kRetryLater);
  }
}

void RowKeeper::try_again(Milliseconds after) { work_.lock()->retry = system_clock().now() + after; }

void RowKeeper::fill_new_databases() {
  for (const auto& path : files_.shared_databases()) {
    auto identity = identity_of(path);
    if (!identity) continue;
    auto known = filled_.find(path);
    if (known != filled_.end() && known->second == *identity) continue;
    if (!fill(path)) continue;
    filled_[path] = *identity;
    making_.reset();
  }
}

// False when it is to be tried again.
bool RowKeeper::fill(const std::filesystem::path& path) {
  if (PrivateFiles::has_turso_side_file(path)) {
    if (warned_.insert(path).second) {
      kLog.warn(
          "nx_database={} is in use by Turso, which does not see rows of others: no hits from this folder; use "
          "the endpoint (hitfs run exports it)",
          path.filename().string());
    }
    return false;
  }
  auto lock = PrivateFiles::try_lock(path);
  bool ours = lock && *lock;
  auto database = ours ? NxDatabase::open(path, sqlite::Access::read_write)
                       : Result<NxDatabase>(Error{Code::not_found, "nx is making it"});
  if (!database) {
    try_again(database.error().code == Code::not_found ? making_.next() : kRetryLater);
    return false;
  }
  auto names = source_.names();
  std::vector<std::string> rows;
  if (names) {
    for (const auto& hash : *names) {
      if (source_.publish(hash)) rows.push_back(hash);
    }
  }
  auto put = names ? database->put(rows) : Status(names.error());
  if (put) put = put_announced(*database, source_.announced());
  if (put) return true;
  kLog.warn("rows database={} error=\"{}\"", path.filename().string(), put.error().message);
  try_again(kRetryLater);
  return false;
}

Status RowKeeper::remove_now(const std::string& hash) {
  auto databases = files_.all_databases();
  for (auto& outside : outside_.databases()) databases.push_back(std::move(outside));
  auto all = [](const NxDatabase&) { return true; };
  if (auto removed = remove_row(databases, hash, all); !removed) return removed;
  promised_.erase(hash);
  return Ok{};
}

Status RowKeeper::withdraw_now(const std::string& hash) {
  auto announcing = [](const NxDatabase& database) { return database.is_announcing(); };
  if (auto removed = remove_row(files_.shared_databases(), hash, announcing); !removed) return removed;
  promised_.erase(hash);
  return Ok{};
}

// Not ours: one that cannot be read or written stays as it is, and keeps nobody from starting.
void RowKeeper::remove_bare_rows_outside(const std::set<std::string>& names) {
  for (const auto& path : outside_.databases()) {
    if (auto removed = remove_bare_rows(path, names); !removed) kLog.warn("{}", removed.error().message);
  }
}

Result<std::optional<int64_t>> RowKeeper::exit_code(const std::string& hash) const {
  std::optional<NxDatabase::Code> newest;
  for (const auto& path : files_.shared_databases()) {
    if (PrivateFiles::has_turso_side_file(path)) continue;
    auto database = NxDatabase::open(path, sqlite::Access::read_only);
    if (!database && database.error().code == Code::not_found) continue;
    if (!database) return in_context(path.filename().string(), std::move(database).error());
    auto code = database->code_of(hash);
    if (!code) return in_context(path.filename().string(), std::move(code).error());
    if (!*code) continue;
    // Of two in one second a failure counts: what is not shared is a miss, what is shared wrongly a wrong build.
    bool newer = !newest || (*code)->created_at > newest->created_at ||
                 ((*code)->created_at == newest->created_at && (*code)->code != 0);
    if (newer) newest = **code;
  }
  if (!newest) return std::optional<int64_t>{};
  return std::optional(newest->code);
}

}  // namespace hitfs::fs
