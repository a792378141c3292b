#include "store/entry_store.h"

#include <algorithm>
#include <unordered_map>

#include "store/access_log.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/commit/intake.h"
#include "store/push_queue_impl.h"
#include "store/store_parts.h"
#include "store/upkeep/evictor.h"
#include "store/upkeep/leftovers.h"
#include "store/upkeep/retire.h"
#include "store/upkeep/store_lock.h"
#include "store/upkeep/store_opening.h"
#include "store/upkeep/verifier.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};
// The index hears of a use at most this often per entry.
constexpr int64_t kTouchNs = 10ll * 60 * 1'000'000'000;
// Uses remembered in memory, so that most cost no look at the index.
constexpr size_t kTouches = 65536;

class DiskEntryStore final : public EntryStore {
 public:
  explicit DiskEntryStore(UniqueFd lock) : lock_(std::move(lock)), evictor_(parts_), pushes_(parts_) {}
  ~DiskEntryStore() override;

  Status open_parts(const StorePaths& paths, const Options& options);
  Status open_rows();

  StoreReader& reader() override { return *reader_; }
  std::unique_ptr<EntryIntake> begin() override { return std::make_unique<Intake>(parts_, evictor_); }
  Status attach_artifact(uint64_t entry_id, const Digest& artifact, EntryIntake& intake) override;
  Result<Entry> retire(uint64_t entry_id, const std::string& why) override;
  Result<std::vector<Entry>> retired() override;
  Status release(uint64_t entry_id) override;
  Status set_pinned(uint64_t entry_id, bool pinned) override;
  Status touch(uint64_t entry_id) override;
  Result<std::vector<Entry>> make_room(uint64_t bytes, uint64_t files) override;
  void observe(Observer observer) override { parts_.notices.observe(std::move(observer)); }
  Status flush() override { return flush_store(parts_); }
  StoreStats stats() override;
  Result<VerifyReport> verify(const std::optional<Key>& only, std::function<bool(uint64_t)> progress) override;
  Result<VerifyReport> check_after_reboot(std::function<bool(uint64_t)> progress) override;
  PushQueue& push_queue() override { return pushes_; }
  AccessLog& access_log() override { return *log_; }

 private:
  Result<bool> change(bool durable, std::function<Result<bool>(Index&)> apply);

  UniqueFd lock_;
  StoreParts parts_;
  Evictor evictor_;
  StorePushQueue pushes_;
  std::unique_ptr<StoreReader> reader_;
  std::unique_ptr<AccessLog> log_;
  Guarded<std::unordered_map<uint64_t, int64_t>> touched_;  // entry -> when it was last written, ns
};

DiskEntryStore::~DiskEntryStore() {
  if (!parts_.lane || parts_.unflushed_commits == 0) return;
  if (auto flushed = flush_store(parts_); !flushed) kLog.warn("flush error=\"{}\"", flushed.error().message);
}

Status DiskEntryStore::open_parts(const StorePaths& paths, const Options& options) {
  parts_.paths = paths;
  parts_.limits = options.limits;
  parts_.clock = options.clock;
  parts_.boot_id = options.boot_id.empty() ? current_boot_id() : options.boot_id;
  if (auto prepared = prepare_folders(paths); !prepared) return prepared;
  log_ = AccessLog::open(paths.log(), *options.clock);
  auto opened = open_rows();
  if (!opened && opened.error().code == Code::corrupt) {
    // Damage that shows in use only.
    kLog.error("index damaged error=\"{}\"", opened.error().message);
    auto marked = io::replace_file(paths.index_damaged(), {}, "index damaged");
    if (!marked) return marked;
    parts_.lane.reset();
    opened = open_rows();
  }
  if (!opened) return opened;
  auto reader = StoreReader::open(paths, parts_.boot_id);
  if (!reader) return std::move(reader).error();
  reader_ = *std::move(reader);
  return Ok{};
}

// The index, and what an earlier daemon left to be done.
Status DiskEntryStore::open_rows() {
  const auto& paths = parts_.paths;
  auto opened = open_index(paths, parts_.boot_id, *parts_.clock, *log_);
  if (!opened) return std::move(opened).error();
  parts_.index = std::move(opened->index);
  parts_.numbers = std::move(opened->numbers);
  auto publish = [this](const Index& index) {
    *parts_.published.lock() = {index.counters(), index.epochs(), index.durable_transactions()};
  };
  publish(*parts_.index);
  parts_.lane = std::make_unique<CommitLane>(*parts_.index, paths, publish);

  if (auto emptied = parts_.lane->take_over_trash(); !emptied) return emptied;
  if (auto removed = remove_leftovers(paths, *parts_.index); !removed) return removed;
  if (auto swept = sweep_blobs(parts_); !swept) return swept;
  auto index_reader = IndexReader::open(paths.index());
  if (!index_reader) return std::move(index_reader).error();
  parts_.reader = *std::move(index_reader);
  return Ok{};
}

Result<bool> DiskEntryStore::change(bool durable, std::function<Result<bool>(Index&)> apply) {
  Change change;
  change.durable = durable;
  change.apply = std::move(apply);
  return parts_.lane->run(change);
}

Status DiskEntryStore::attach_artifact(uint64_t entry_id, const Digest& artifact, EntryIntake& intake) {
  auto* ours = dynamic_cast<Intake*>(&intake);
  if (ours == nullptr) return Error{Code::invalid_argument, "the intake is of another store"};
  return ours->attach(entry_id, artifact);
}

Result<Entry> DiskEntryStore::retire(uint64_t entry_id, const std::string& why) {
  RetiredRows retired(parts_.notices, why);
  Change change;
  change.apply = [&](Index& index) -> Result<bool> {
    auto row = index.get(entry_id);
    if (!row) return std::move(row).error();
    if (!*row || (*row)->entry.retired) {
      return Error{Code::not_found, "entry " + std::to_string(entry_id) + " is not in the store"};
    }
    auto done = retire_row(parts_, index, **std::move(row));
    if (!done) return std::move(done).error();
    retired.add(*done);
    return true;
  };
  change.settle = [&](Index&, bool committed) { retired.settle(committed); };
  auto done = parts_.lane->run(change);
  if (!done) return in_context("retire", std::move(done).error());
  Entry entry = retired.entries().front();
  parts_.notices.deliver();
  return entry;
}

Result<std::vector<Entry>> DiskEntryStore::retired() {
  auto rows = parts_.reader->retired();
  if (!rows) return std::move(rows).error();
  std::vector<Entry> entries;
  entries.reserve(rows->size());
  for (auto& row : *rows) entries.push_back(std::move(row.entry));
  return entries;
}

Status DiskEntryStore::release(uint64_t entry_id) {
  // Durable: the files go right after it, and their rows must not come back.
  auto done = change(true, [&](Index& index) -> Result<bool> {
    auto row = index.get(entry_id);
    if (!row) return std::move(row).error();
    if (!*row) return false;  // released before
    if (!(*row)->entry.retired) return Error{Code::invalid_argument, "only a retired entry is released"};
    if (auto released = release_row(parts_, index, **row); !released) return std::move(released).error();
    return true;
  });
  if (!done) return in_context("release", std::move(done).error());
  if (!*done) return Ok{};
  auto swept = sweep_blobs(parts_);
  remove_intake_names(parts_);
  reader_->forget_freed();
  return swept;
}

Status DiskEntryStore::set_pinned(uint64_t entry_id, bool pinned) {
  auto done = change(true, [&](Index& index) -> Result<bool> {
    auto set = index.database().run("UPDATE entries SET pinned = ?2 WHERE id = ?1 AND state = 0",
                                    {sqlite::number(entry_id), int64_t{pinned}});
    if (!set) return std::move(set).error();
    if (index.database().changes() == 0) {
      return Error{Code::not_found, "entry " + std::to_string(entry_id) + " is not in the store"};
    }
    return true;
  });
  if (!done) return in_context(pinned ? "pin" : "unpin", std::move(done).error());
  return Ok{};
}

Status DiskEntryStore::touch(uint64_t entry_id) {
  int64_t now = parts_.clock->unix_ns();
  {
    auto touched = touched_.lock();
    if (touched->size() >= kTouches) touched->clear();
    auto [known, added] = touched->try_emplace(entry_id, now);
    if (!added && now - known->second < kTouchNs) return Ok{};
    known->second = now;
  }
  auto done = change(false, [&](Index& index) -> Result<bool> {
    auto set = index.database().run("UPDATE entries SET last_used_ns = ?2 WHERE id = ?1 AND last_used_ns <= ?3",
                                    {sqlite::number(entry_id), now, now - kTouchNs});
    if (!set) return std::move(set).error();
    return index.database().changes() > 0;
  });
  if (!done) return in_context("touch", std::move(done).error());
  return Ok{};
}

Result<std::vector<Entry>> DiskEntryStore::make_room(uint64_t bytes, uint64_t files) {
  return evictor_.make_room(bytes, files);
}

StoreStats DiskEntryStore::stats() {
  auto counters = parts_.published.lock()->counters;
  return {.entries = counters.entries,
          .retired_entries = counters.retired_entries,
          .blobs = counters.blobs,
          .bytes = counters.bytes,
          .files = counters.files,
          .max_bytes = parts_.limits.max_bytes,
          .max_files = parts_.limits.max_files,
          .retired_bytes = counters.retired_bytes,
          .evicted_entries = counters.evicted};
}

Result<VerifyReport> DiskEntryStore::verify(const std::optional<Key>& only, std::function<bool(uint64_t)> progress) {
  Verifier verifier(parts_, std::move(progress));
  return only ? verifier.one(*only) : verifier.everything();
}

Result<VerifyReport> DiskEntryStore::check_after_reboot(std::function<bool(uint64_t)> progress) {
  return Verifier(parts_, std::move(progress)).suspects();
}

}  // namespace

Result<Digest> EntryIntake::add_blob(std::span<const std::byte> bytes) {
  auto sink = begin_blob(bytes.size());
  if (!sink) return std::move(sink).error();
  if (auto written = (*sink)->write(bytes); !written) return std::move(written).error();
  return end_blob();
}

Result<std::unique_ptr<EntryStore>> EntryStore::open(const StorePaths& paths, const Options& options) {
  auto type_of = options.filesystem_type ? options.filesystem_type : filesystem_type_of;
  if (auto local = refuse_network_filesystem(paths.root, type_of); !local) return std::move(local).error();
  if (auto made = io::make_directories(paths.root, 0700, "store"); !made) return std::move(made).error();
  auto lock = lock_store(paths);
  if (!lock) return std::move(lock).error();
  auto store = std::make_unique<DiskEntryStore>(*std::move(lock));
  if (auto opened = store->open_parts(paths, options); !opened) return std::move(opened).error();
  return std::unique_ptr<EntryStore>(std::move(store));
}

}  // namespace hitfs
