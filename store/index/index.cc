#include "store/index/index.h"

#include <algorithm>
#include <array>

#include "store/base/io.h"

namespace hitfs {

namespace {

using sqlite::number;

// Another process only ever holds the file during the recovery of its log.
constexpr Milliseconds kBusy{10000};

// synchronous=FULL: a commit is on disk when it returns. The log may grow while a reader reads; its file is cut to this
// size afterwards. The last line reads: it is the first read that makes the log.
constexpr const char* kSettings = R"sql(
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = 67108864;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16384;
PRAGMA user_version;
)sql";

Result<int64_t> single_integer(sqlite::Database& database, std::string_view sql) {
  auto query = database.query(sql);
  auto row = query.next();
  if (!row) return std::move(row).error();
  if (!*row) return Error{Code::corrupt, "index.db lacks a row that every index has"};
  return query.integer(0);
}

Result<std::optional<EntryRow>> first_entry(sqlite::Query query) {
  auto row = query.next();
  if (!row) return std::move(row).error();
  if (!*row) return std::optional<EntryRow>();
  return std::optional(entry_row(query));
}

// All that the schema consists of.
Result<std::string> schema_of(sqlite::Database& database) {
  auto query = database.query("SELECT type || name || tbl_name || coalesce(sql, '') FROM sqlite_schema ORDER BY name");
  std::string schema;
  while (true) {
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return schema;
    schema += query.text(0) + "\n";
  }
}

constexpr std::array kCounterColumns = {
    &Counters::entries, &Counters::retired_entries, &Counters::blobs,         &Counters::bytes,
    &Counters::files,   &Counters::retired_bytes,   &Counters::retired_files, &Counters::evicted,
    &Counters::pushes,  &Counters::push_bytes,      &Counters::parked,        &Counters::dropped_pushes};

void reduce(uint64_t& counter, uint64_t by) { counter -= std::min(counter, by); }

}  // namespace

Result<std::unique_ptr<Index>> Index::open(const std::filesystem::path& path, const std::string& boot_id) {
  auto database = sqlite::Database::open(path, sqlite::Access::read_write, kBusy);
  if (!database) return std::move(database).error();
  std::unique_ptr<Index> index(new Index(*std::move(database)));
  if (auto prepared = index->prepare_file(); !prepared) return std::move(prepared).error();
  if (auto loaded = index->load(boot_id); !loaded) return std::move(loaded).error();
  return index;
}

Status Index::prepare_file() {
  auto tables = single_integer(*database_, "SELECT count(*) FROM sqlite_schema");
  if (!tables) return std::move(tables).error();
  if (auto set = database_->execute(kSettings); !set) return set;
  if (auto kept = database_->keep_log(); !kept) return kept;
  auto version = single_integer(*database_, "PRAGMA user_version");
  if (!version) return std::move(version).error();
  if (*version == kIndexVersion) return check_schema();
  auto mark = single_integer(*database_, "PRAGMA application_id");
  if (!mark) return std::move(mark).error();
  bool is_marked = *mark != 0 && *mark != kIndexMark + *version;
  if (is_marked || (*version == 0 && *tables != 0)) return Error{Code::corrupt, "index.db has a damaged version"};
  if (*version != 0) {
    return Error{Code::invalid_argument, "the index has format " + std::to_string(*version) + "; this hitfs knows " +
                                             std::to_string(kIndexVersion) +
                                             ": use the newer hitfs that wrote it, or another --store"};
  }
  auto transaction = sqlite::Transaction::begin(*database_);
  if (!transaction) return std::move(transaction).error();
  if (auto made = database_->execute(kIndexSchema); !made) return made;
  return transaction->commit("index schema");
}

// A damaged index may have lost a table or a column, and still open.
Status Index::check_schema() {
  auto fresh = sqlite::Database::open(":memory:", sqlite::Access::read_write, kBusy);
  if (!fresh) return std::move(fresh).error();
  if (auto made = (*fresh)->execute(kIndexSchema); !made) return made;
  auto right = schema_of(**fresh);
  auto schema = schema_of(*database_);
  if (!right) return std::move(right).error();
  if (!schema) return std::move(schema).error();
  return *schema == *right ? Status(Ok{}) : Error{Code::corrupt, "index.db has another schema"};
}

Status Index::load(const std::string& boot_id) {
  auto transaction = sqlite::Transaction::begin(*database_);
  if (!transaction) return std::move(transaction).error();
  auto generation = single_integer(*database_, "UPDATE state SET generation = generation + 1 RETURNING generation");
  if (!generation) return std::move(generation).error();
  generation_ = static_cast<uint64_t>(*generation);
  {
    auto query = database_->query("SELECT " + std::string(kEpochColumns) + " FROM state");
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return Error{Code::corrupt, "index.db has no state row"};
    epochs_ = epochs_row(query);
  }
  {
    auto query = database_->query(
        "SELECT entries, retired_entries, blobs, bytes, files, retired_bytes, retired_files, evicted, pushes, "
        "push_bytes, parked, dropped_pushes FROM counters");
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return Error{Code::corrupt, "index.db has no counters"};
    int column = 0;
    for (auto member : kCounterColumns) counters_.*member = query.unsigned_integer(column++);
  }
  if (epochs_.boot != boot_id) {
    if (epochs_.suspect_after == epochs_.suspect_upto) epochs_.suspect_after = epochs_.flushed;
    epochs_.suspect_upto = epochs_.current;
    epochs_.flushed = epochs_.current++;
    epochs_.boot = boot_id;
    if (counters_.entries + counters_.retired_entries == 0) epochs_.suspect_after = epochs_.suspect_upto = 0;
    if (auto saved = save_epochs(); !saved) return saved;
  }
  return transaction->commit("index open");
}

void Index::note_committed() {
  ++transactions_;
  if (durable_) durable_transactions_ = transactions_;
}

Status Index::set_durable(bool durable) {
  if (durable == durable_) return Ok{};
  auto set = database_->execute(durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
  if (set) durable_ = durable;
  return set;
}

Result<std::optional<EntryRow>> Index::find_visible(const Key& key) {
  static const std::string kSql = "SELECT " + std::string(kEntryColumns) +
                                  " FROM entries WHERE scope = ?1 AND space = ?2 AND name = ?3 AND state = 0";
  return first_entry(
      database_->query(kSql, {io::as_bytes(key.scope), io::as_bytes(key.space), io::as_bytes(key.name)}));
}

Result<std::optional<EntryRow>> Index::get(uint64_t id) {
  static const std::string kSql = "SELECT " + std::string(kEntryColumns) + " FROM entries WHERE id = ?1";
  return first_entry(database_->query(kSql, {number(id)}));
}

Status Index::insert(const EntryRow& row) {
  static const std::string kSql = "INSERT INTO entries(" + std::string(kEntryColumns) +
                                  ") VALUES(?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, 0, ?10, ?11, ?12, ?13, ?14, ?15, "
                                  "?16, ?17, 0, 0)";
  const auto& entry = row.entry;
  sqlite::Value artifact = nullptr;
  sqlite::Value artifact_size = nullptr;
  if (entry.artifact) {
    artifact = std::span<const std::byte>(entry.artifact->hash);
    artifact_size = number(entry.artifact->size);
  }
  auto done = database_->run(
      kSql, {number(entry.id), int64_t{entry.span}, io::as_bytes(entry.key.scope), io::as_bytes(entry.key.space),
             io::as_bytes(entry.key.name), static_cast<int64_t>(entry.kind), int64_t{entry.exit_code}, artifact,
             artifact_size, number(entry.bytes), number(entry.files), entry.created_ns, entry.last_used_ns,
             std::string_view(entry.origin), int64_t{entry.pinned}, number(row.epoch), number(row.manifest_bytes)});
  if (!done) return done;
  counters_.entries += 1;
  counters_.bytes += row.manifest_bytes;
  counters_.files += 1;
  return Ok{};
}

Status Index::mark_retired(const EntryRow& row) {
  auto done = database_->run("UPDATE entries SET state = 1, frees_bytes = ?2, frees_files = ?3 WHERE id = ?1",
                             {number(row.entry.id), number(row.frees_bytes), number(row.frees_files)});
  if (!done) return done;
  reduce(counters_.entries, 1);
  counters_.retired_entries += 1;
  counters_.retired_bytes += row.frees_bytes;
  counters_.retired_files += row.frees_files;
  return Ok{};
}

Status Index::remove_retired(const EntryRow& row) {
  auto done = database_->run("DELETE FROM entries WHERE id = ?1 AND state = 1", {number(row.entry.id)});
  if (done) done = database_->run("DELETE FROM manifests WHERE entry_id = ?1", {number(row.entry.id)});
  if (!done) return done;
  reduce(counters_.retired_entries, 1);
  reduce(counters_.retired_bytes, row.frees_bytes);
  reduce(counters_.retired_files, row.frees_files);
  reduce(counters_.bytes, row.manifest_bytes);
  reduce(counters_.files, 1);
  return add_trash({.kind = TrashItem::Kind::manifest, .number = row.entry.id, .digest = {}});
}

Status Index::set_derived(uint64_t id, const Digest& artifact, uint64_t epoch) {
  return database_->run(
      "UPDATE entries SET artifact = ?2, artifact_size = ?3, derived = ?4 WHERE id = ?1",
      {number(id), std::span<const std::byte>(artifact.hash), number(artifact.size), number(epoch + 1)});
}

Status Index::clear_derived(uint64_t id) {
  return database_->run("UPDATE entries SET artifact = NULL, artifact_size = NULL, derived = 0 WHERE id = ?1",
                        {number(id)});
}

Status Index::set_epoch(uint64_t id, uint64_t epoch) {
  return database_->run("UPDATE entries SET epoch = ?2 WHERE id = ?1", {number(id), number(epoch)});
}

Result<uint64_t> Index::end_of_numbers() {
  auto entries =
      single_integer(*database_, "SELECT coalesce((SELECT id + span FROM entries ORDER BY id DESC LIMIT 1), 0)");
  if (!entries) return std::move(entries).error();
  auto packs = single_integer(*database_, "SELECT coalesce(max(id) + 1, 0) FROM packs");
  if (!packs) return std::move(packs).error();
  return static_cast<uint64_t>(std::max(*entries, *packs));
}

Status Index::keep_manifest(uint64_t id, uint64_t epoch, std::string_view bytes) {
  return database_->run("INSERT INTO manifests(entry_id, epoch, bytes) VALUES(?1, ?2, ?3)",
                        {number(id), number(epoch), io::as_bytes(bytes)});
}

Result<std::string> Index::kept_manifest(uint64_t id) { return read_kept_manifest(*database_, id); }

Status Index::add_trash(TrashItem item) {
  auto query = database_->query(
      "INSERT INTO trash(kind, number, digest) VALUES(?1, ?2, ?3) RETURNING id",
      {static_cast<int64_t>(item.kind), number(item.number), std::span<const std::byte>(item.digest.hash)});
  auto row = query.next();
  if (!row) return std::move(row).error();
  item.row = query.integer(0);
  trash_.push_back(item);
  return Ok{};
}

Result<std::vector<TrashItem>> Index::all_trash() {
  auto query = database_->query("SELECT id, kind, number, digest FROM trash");
  std::vector<TrashItem> items;
  while (true) {
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return items;
    TrashItem item{.kind = static_cast<TrashItem::Kind>(query.integer(1)),
                   .number = query.unsigned_integer(2),
                   .digest = {},
                   .row = query.integer(0)};
    auto hash = query.bytes(3);
    std::copy_n(hash.begin(), std::min(hash.size(), item.digest.hash.size()), item.digest.hash.begin());
    items.push_back(item);
  }
}

Status Index::remove_trash(const std::vector<int64_t>& rows) {
  for (int64_t row : rows) {
    if (auto done = database_->run("DELETE FROM trash WHERE id = ?1", {row}); !done) return done;
  }
  return Ok{};
}

Status Index::note_flushed() {
  epochs_.flushed = epochs_.current++;
  // Of what is suspect, until it was checked.
  auto cut = database_->run("DELETE FROM manifests WHERE epoch > ?1", {number(epochs_.suspect_upto)});
  return cut ? save_epochs() : cut;
}

Result<uint64_t> Index::begin_suspect_epoch() {
  uint64_t suspect = epochs_.current++;
  epochs_.suspect_after = epochs_.flushed;
  epochs_.suspect_upto = epochs_.flushed = suspect;
  if (auto saved = save_epochs(); !saved) return std::move(saved).error();
  return suspect;
}

Status Index::clear_suspects() {
  auto cut = database_->run("DELETE FROM manifests WHERE epoch <= ?1", {number(epochs_.suspect_upto)});
  if (!cut) return cut;
  epochs_.suspect_after = epochs_.suspect_upto = 0;
  return save_epochs();
}

Status Index::save_epochs() {
  return database_->run("UPDATE state SET epoch = ?1, flushed = ?2, suspect_after = ?3, suspect_upto = ?4, boot = ?5",
                        {number(epochs_.current), number(epochs_.flushed), number(epochs_.suspect_after),
                         number(epochs_.suspect_upto), std::string_view(epochs_.boot)});
}

void Index::restore(Working working) {
  counters_ = working.counters;
  epochs_ = std::move(working.epochs);
  trash_ = std::move(working.trash);
}

Status Index::save_counters() {
  const auto& c = counters_;
  return database_->run(
      "UPDATE counters SET entries = ?1, retired_entries = ?2, blobs = ?3, bytes = ?4, files = ?5, retired_bytes = ?6, "
      "retired_files = ?7, evicted = ?8, pushes = ?9, push_bytes = ?10, parked = ?11, dropped_pushes = ?12",
      {number(c.entries), number(c.retired_entries), number(c.blobs), number(c.bytes), number(c.files),
       number(c.retired_bytes), number(c.retired_files), number(c.evicted), number(c.pushes), number(c.push_bytes),
       number(c.parked), number(c.dropped_pushes)});
}

}  // namespace hitfs
