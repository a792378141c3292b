#include "store/access_log.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "store/base/guarded.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/index/sqlite.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};
// Records that wait in memory for one transaction, and for how long.
constexpr size_t kTogether = 64;
constexpr int64_t kWaitMs = 1000;
constexpr Milliseconds kBusy{1000};
constexpr int64_t kVersion = 1;

// The last line reads: it is the first read that makes the file's own log.
constexpr const char* kSettings = R"sql(
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
PRAGMA journal_size_limit = 4194304;
PRAGMA user_version;
)sql";
constexpr const char* kSchema = R"sql(
CREATE TABLE accesses(
  id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, scope BLOB NOT NULL, space BLOB NOT NULL, name BLOB NOT NULL,
  kind INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE INDEX accesses_by_key ON accesses(name, id);
PRAGMA user_version = 1;
)sql";

constexpr std::array<std::pair<AccessKind, std::string_view>, 12> kNames = {{
    {AccessKind::hit, "hit"},
    {AccessKind::pulled, "pulled"},
    {AccessKind::miss, "miss"},
    {AccessKind::breaker_open, "breaker_open"},
    {AccessKind::budget_spent, "budget_spent"},
    {AccessKind::fetch_failed, "fetch_failed"},
    {AccessKind::refused, "refused"},
    {AccessKind::stored, "stored"},
    {AccessKind::pushed, "pushed"},
    {AccessKind::push_failed, "push_failed"},
    {AccessKind::push_parked, "push_parked"},
    {AccessKind::evicted, "evicted"},
}};

Result<std::unique_ptr<sqlite::Database>> open_database(const std::filesystem::path& path) {
  auto database = sqlite::Database::open(path, sqlite::Access::read_write, kBusy);
  if (!database) return database;
  if (auto set = (*database)->execute(kSettings); !set) return std::move(set).error();
  int64_t version = 0;
  {
    auto query = (*database)->query("PRAGMA user_version");
    auto row = query.next();
    if (!row) return std::move(row).error();
    version = query.integer(0);
  }
  if (version == kVersion) return database;
  if (version != 0) return Error{Code::corrupt, "log.db has format " + std::to_string(version)};
  auto transaction = sqlite::Transaction::begin(**database);
  if (!transaction) return std::move(transaction).error();
  if (auto made = (*database)->execute(kSchema); !made) return std::move(made).error();
  if (auto made = transaction->commit("access log schema"); !made) return std::move(made).error();
  return database;
}

Result<std::unique_ptr<sqlite::Database>> open_anew(const std::filesystem::path& path) {
  for (const char* part : {"", "-wal", "-shm"}) {
    [[maybe_unused]] auto gone = io::unlink(path.string() + part, "access log");
  }
  return open_database(path);
}

class RingAccessLog final : public AccessLog {
 public:
  RingAccessLog(std::filesystem::path path, std::unique_ptr<sqlite::Database> database, const Clock& clock,
                int64_t records)
      : path_(std::move(path)),
        clock_(clock),
        records_(records),
        state_(State{std::move(database), {}, 0, false, false}) {}
  ~RingAccessLog() override { write_locked(*state_.lock()); }

  void record(const Key& key, AccessKind kind, const std::string& detail) override;
  Result<std::vector<AccessRecord>> history(const Key& key, size_t limit) override;
  Result<std::vector<AccessRecord>> after(uint64_t number, size_t limit) override;
  Result<uint64_t> last_number() override;

 private:
  // The lock spans SQLite on purpose: nothing but the explanations waits for it, and nothing is ever synced.
  struct State {
    std::unique_ptr<sqlite::Database> database;  // none: nothing is kept
    std::vector<AccessRecord> waiting;
    int64_t written_ms = 0;
    bool complained = false;
    bool made_anew = false;
  };
  // A power cut may leave a file that opens and cannot be used: never synced, it may have any of its pages. Then a new
  // one takes its place, once; true when it did.
  bool make_anew_locked(State& state, const Error& why);
  void write_locked(State& state);
  Status insert_locked(State& state);
  Result<std::vector<AccessRecord>> read(std::string_view sql, std::initializer_list<sqlite::Value> values);
  static Result<std::vector<AccessRecord>> read_locked(State& state, std::string_view sql,
                                                       std::initializer_list<sqlite::Value> values);

  const std::filesystem::path path_;
  const Clock& clock_;
  const int64_t records_;
  Guarded<State> state_;
};

void RingAccessLog::record(const Key& key, AccessKind kind, const std::string& detail) {
  auto state = state_.lock();
  if (!state->database) return;
  auto now = clock_.unix_ms();
  state->waiting.push_back({0, now, key, kind, detail});
  if (state->waiting.size() >= kTogether || now - state->written_ms >= kWaitMs) write_locked(*state);
}

void RingAccessLog::write_locked(State& state) {
  if (!state.database || state.waiting.empty()) return;
  auto written = insert_locked(state);
  if (!written && make_anew_locked(state, written.error())) written = insert_locked(state);
  state.waiting.clear();
  state.written_ms = clock_.unix_ms();
  if (written || state.complained) return;
  state.complained = true;
  kLog.warn("access log error=\"{}\" effect=\"hitfs why knows less\"", written.error().message);
}

bool RingAccessLog::make_anew_locked(State& state, const Error& why) {
  if (why.code != Code::corrupt || state.made_anew) return false;
  state.made_anew = true;
  kLog.warn("access log made anew error=\"{}\"", why.message);
  state.database.reset();
  auto database = open_anew(path_);
  if (database) state.database = *std::move(database);
  return database.has_value();
}

Status RingAccessLog::insert_locked(State& state) {
  auto& database = *state.database;
  auto transaction = sqlite::Transaction::begin(database);
  if (!transaction) return std::move(transaction).error();
  for (const auto& record : state.waiting) {
    auto inserted = database.run(
        "INSERT INTO accesses(time_ms, scope, space, name, kind, detail) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        {record.time_ms, io::as_bytes(record.key.scope), io::as_bytes(record.key.space), io::as_bytes(record.key.name),
         static_cast<int64_t>(record.kind), std::string_view(record.detail)});
    if (!inserted) return inserted;
  }
  auto cut = database.run("DELETE FROM accesses WHERE id <= (SELECT max(id) FROM accesses) - ?1", {records_});
  if (!cut) return cut;
  return transaction->commit("access log");
}

Result<std::vector<AccessRecord>> RingAccessLog::read(std::string_view sql,
                                                      std::initializer_list<sqlite::Value> values) {
  auto state = state_.lock();
  write_locked(*state);
  auto records = read_locked(*state, sql, values);
  if (!records && make_anew_locked(*state, records.error())) return read_locked(*state, sql, values);
  return records;
}

Result<std::vector<AccessRecord>> RingAccessLog::read_locked(State& state, std::string_view sql,
                                                             std::initializer_list<sqlite::Value> values) {
  std::vector<AccessRecord> records;
  if (!state.database) return records;
  auto query = state.database->query(sql, values);
  while (true) {
    auto row = query.next();
    if (!row) return in_context("access log", std::move(row).error());
    if (!*row) return records;
    records.push_back({static_cast<uint64_t>(query.integer(0)),
                       query.integer(1),
                       {query.text(2), query.text(3), query.text(4)},
                       static_cast<AccessKind>(query.integer(5)),
                       query.text(6)});
  }
}

Result<std::vector<AccessRecord>> RingAccessLog::history(const Key& key, size_t limit) {
  return read(
      "SELECT id, time_ms, scope, space, name, kind, detail FROM accesses WHERE name = ?1 AND space = ?2 AND scope = "
      "?3 "
      "ORDER BY id DESC LIMIT ?4",
      {io::as_bytes(key.name), io::as_bytes(key.space), io::as_bytes(key.scope), sqlite::number(limit)});
}

Result<std::vector<AccessRecord>> RingAccessLog::after(uint64_t number, size_t limit) {
  return read("SELECT id, time_ms, scope, space, name, kind, detail FROM accesses WHERE id > ?1 ORDER BY id LIMIT ?2",
              {sqlite::number(number), sqlite::number(limit)});
}

Result<uint64_t> RingAccessLog::last_number() {
  auto newest = read("SELECT id, time_ms, scope, space, name, kind, detail FROM accesses ORDER BY id DESC LIMIT ?1",
                     {int64_t{1}});
  if (!newest) return std::move(newest).error();
  return newest->empty() ? 0 : newest->front().number;
}

}  // namespace

std::string_view to_string(AccessKind kind) {
  auto found = std::find_if(kNames.begin(), kNames.end(), [&](const auto& pair) { return pair.first == kind; });
  return found == kNames.end() ? "unknown" : found->second;
}

std::unique_ptr<AccessLog> AccessLog::open(const std::filesystem::path& path, const Clock& clock, int64_t records) {
  auto database = open_database(path);
  if (!database) {
    kLog.warn("access log made anew error=\"{}\"", database.error().message);
    database = open_anew(path);
  }
  if (!database) {
    kLog.warn("access log off error=\"{}\" effect=\"hitfs why knows nothing\"", database.error().message);
    return std::make_unique<RingAccessLog>(path, nullptr, clock, records);
  }
  return std::make_unique<RingAccessLog>(path, *std::move(database), clock, records);
}

}  // namespace hitfs
