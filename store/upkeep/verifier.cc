#include "store/upkeep/verifier.h"

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/index/blob_table.h"
#include "store/manifest.h"
#include "store/upkeep/retire.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};
constexpr size_t kPage = 512;

Result<bool> change_rows(StoreParts& parts, std::function<Result<bool>(Index&)> apply) {
  Change change;
  change.durable = true;
  change.apply = std::move(apply);
  return parts.lane->run(change);
}

}  // namespace

Result<VerifyReport> Verifier::everything() {
  for (auto step : {&Verifier::check_index, &Verifier::check_all_blobs, &Verifier::check_all_entries}) {
    if (auto done = (this->*step)(); !done) return std::move(done).error();
    if (stopped_) break;
  }
  return std::move(report_);
}

Result<VerifyReport> Verifier::one(const Key& key) {
  auto row = parts_.reader->find(key);
  if (!row) return std::move(row).error();
  if (!*row) return Error{Code::not_found, key.text() + " is not in the store"};
  auto sound = check_entry(**row, true);
  if (!sound) return std::move(sound).error();
  if (!*sound) {
    if (auto dropped = drop(**row); !dropped) return std::move(dropped).error();
  }
  return std::move(report_);
}

Status Verifier::check_index() {
  auto findings = parts_.reader->check();
  if (!findings && findings.error().code != Code::corrupt) return std::move(findings).error();
  std::vector<std::string> lines = findings ? *std::move(findings) : std::vector{findings.error().message};
  for (auto& line : lines) {
    report_.damaged.push_back("index.db: " + line +
                              "; restart hitfs: it makes the index again and keeps this one aside");
  }
  return lines.empty() ? Status(Ok{}) : io::replace_file(parts_.paths.index_damaged(), {}, "index damaged");
}

Status Verifier::check_all_blobs() {
  std::optional<Digest> after;
  while (true) {
    auto rows = parts_.reader->blobs_after(after, kPage);
    if (!rows) return std::move(rows).error();
    for (const auto& row : *rows) {
      after = row.digest;
      if (auto checked = check_blob(row); !checked) return std::move(checked).error();
      if (stopped_) return Ok{};
    }
    if (rows->size() < kPage) return Ok{};
  }
}

Status Verifier::check_all_entries() {
  uint64_t after = 0;
  while (true) {
    auto rows = parts_.reader->entries_after(after, kPage);
    if (!rows) return std::move(rows).error();
    for (const auto& row : *rows) {
      after = row.entry.id;
      auto sound = check_entry(row, false);
      if (!sound) return std::move(sound).error();
      if (!*sound && !row.entry.retired) {
        if (auto dropped = drop(row); !dropped) return dropped;
      }
    }
    if (rows->size() < kPage) return Ok{};
  }
}

Result<bool> Verifier::check_blob(const BlobRow& row) {
  if (row.epoch == kDamaged) return false;
  auto right = blobs_.has_right_bytes(row.digest, row.place);
  report_.blobs += 1;
  report_.bytes += row.digest.size;
  if (progress_ && !progress_(report_.bytes)) stopped_ = true;
  if (right && *right) return true;
  // It may have been freed or moved while it was read.
  blobs_.forget(row.digest, row.place);
  auto now = parts_.reader->blob(row.digest);
  if (!now) return std::move(now).error();
  if (!*now) return true;
  if (!((*now)->place == row.place)) return check_blob(**now);
  auto why = right ? std::string("its bytes do not match its digest") : right.error().message;
  if (auto marked = mark_damaged(row.digest, why); !marked) return std::move(marked).error();
  return false;
}

Result<bool> Verifier::check_entry(const EntryRow& row, bool rehash) {
  report_.entries += 1;
  auto manifest = MappedManifest::open(parts_.paths.manifest(row.entry.id).string());
  if (!manifest) {
    auto now = parts_.reader->at_or_before(row.entry.id);
    if (!now) return std::move(now).error();
    if (!*now || (*now)->entry.id != row.entry.id) return true;  // released meanwhile
    report_.damaged.push_back("entry " + row.entry.key.text() + ": " + manifest.error().message);
    return false;
  }
  auto header = (*manifest)->view().header();
  if (header.entry_id != row.entry.id || header.key != row.entry.key) {
    report_.damaged.push_back("entry " + row.entry.key.text() + ": its manifest is of another entry");
    return false;
  }
  auto blobs = blobs_of((*manifest)->view());
  if (row.derived_in && row.entry.artifact) blobs.push_back(*row.entry.artifact);
  return check_entry_blobs(row, blobs, rehash);
}

Result<bool> Verifier::check_entry_blobs(const EntryRow& row, const std::vector<Digest>& blobs, bool rehash) {
  bool sound = true;
  for (const auto& digest : blobs) {
    auto blob = parts_.reader->blob(digest);
    if (!blob) return std::move(blob).error();
    bool right = *blob && (*blob)->epoch != kDamaged;
    if (right && rehash) {
      auto checked = check_blob(**blob);
      if (!checked) return checked;
      right = *checked;
    }
    sound = sound && right;
  }
  if (sound) return true;
  // Freed between the two looks, together with its entry?
  auto now = parts_.reader->at_or_before(row.entry.id);
  if (!now) return std::move(now).error();
  return !*now || (*now)->entry.id != row.entry.id;
}

Status Verifier::mark_damaged(const Digest& digest, const std::string& why) {
  report_.damaged.push_back("blob " + digest.text() + ": " + why);
  kLog.error("damaged blob={} why=\"{}\"", digest.text(), why);
  auto marked = change_rows(parts_, [&](Index& index) -> Result<bool> {
    if (auto set = BlobTable(index).set_epoch(digest, kDamaged); !set) return std::move(set).error();
    return true;
  });
  if (!marked) return std::move(marked).error();
  return note_damage(parts_);
}

Status Verifier::drop(const EntryRow& row) {
  RetiredRows retired(parts_.notices, "verify");
  Change change;
  change.durable = true;
  change.apply = [&](Index& index) -> Result<bool> {
    auto now = index.get(row.entry.id);
    if (!now) return std::move(now).error();
    if (!*now || (*now)->entry.retired) return false;
    auto done = retire_row(parts_, index, **std::move(now));
    if (!done) return std::move(done).error();
    retired.add(*done);
    return true;
  };
  change.settle = [&](Index&, bool committed) { retired.settle(committed); };
  auto done = parts_.lane->run(change);
  if (!done) return std::move(done).error();
  if (*done) report_.dropped_entries.push_back(row.entry.key);
  parts_.notices.deliver();
  return Ok{};
}

Result<VerifyReport> Verifier::suspects() {
  auto epochs = parts_.published.lock()->epochs;
  if (epochs.suspect_after == epochs.suspect_upto) return std::move(report_);
  if (auto dropped = drop_suspect_artifacts(epochs); !dropped) return std::move(dropped).error();
  while (!stopped_) {
    auto rows = parts_.reader->entries_of_epochs(epochs.suspect_after, epochs.suspect_upto, kPage);
    if (!rows) return std::move(rows).error();
    for (const auto& row : *rows) {
      if (auto checked = check_suspect(row); !checked) return std::move(checked).error();
      if (stopped_) return std::move(report_);
    }
    if (rows->size() == kPage) continue;
    auto cleared = change_rows(parts_, [](Index& index) -> Result<bool> {
      if (auto done = index.clear_suspects(); !done) return std::move(done).error();
      return true;
    });
    if (!cleared) return std::move(cleared).error();
    break;
  }
  return std::move(report_);
}

Status Verifier::check_suspect(const EntryRow& row) {
  if (auto restored = restore_manifest(row); !restored) return restored;
  auto sound = check_entry(row, true);
  if (!sound) return std::move(sound).error();
  if (stopped_) return Ok{};
  if (!*sound && !row.entry.retired) {
    if (auto dropped = drop(row); !dropped) return dropped;
  }
  return mark_sound(row);
}

Status Verifier::restore_manifest(const EntryRow& row) {
  auto path = parts_.paths.manifest(row.entry.id);
  if (MappedManifest::open(path.string())) return Ok{};
  auto kept = parts_.reader->kept_manifest(row.entry.id);
  if (!kept) return std::move(kept).error();
  if (kept->empty()) return Ok{};
  auto part = parts_.paths.intakes() / ("restored-part-" + std::to_string(row.entry.id));
  auto file = io::create(part, "manifest", {.mode = 0600, .exclusive = false});
  if (!file) return std::move(file).error();
  if (auto done = io::write_all(file->get(), io::as_bytes(*kept), "manifest"); !done) return done;
  if (auto done = io::sync_data(file->get(), "manifest"); !done) return done;
  if (auto done = io::make_directories(path.parent_path(), 0700, "manifests"); !done) return done;
  if (auto done = io::rename(part, path, "manifest"); !done) return done;
  if (auto done = io::sync_directory(path.parent_path(), "manifest"); !done) return done;
  return io::sync_directory(parts_.paths.manifests(), "manifest");
}

// The bytes of a checked entry were read from the disk after the reboot, so they are durable now.
Status Verifier::mark_sound(const EntryRow& row) {
  auto marked = change_rows(parts_, [&](Index& index) -> Result<bool> {
    BlobTable table(index);
    auto blobs = referred_blobs(parts_, index, row);
    if (!blobs) blobs = std::vector<Digest>();
    for (const auto& digest : *blobs) {
      auto blob = table.find(digest);
      if (!blob) return std::move(blob).error();
      if (!*blob || (*blob)->epoch == kDamaged || (*blob)->epoch == kDurable) continue;
      if (auto set = table.set_epoch(digest, kDurable); !set) return std::move(set).error();
    }
    if (auto set = index.set_epoch(row.entry.id, kDurable); !set) return std::move(set).error();
    return true;
  });
  if (!marked) return std::move(marked).error();
  return Ok{};
}

Status Verifier::drop_suspect_artifacts(const Epochs& epochs) {
  static const std::string kSql =
      "SELECT " + std::string(kEntryColumns) + " FROM entries WHERE derived > 0 AND derived > ?1 AND derived <= ?2";
  auto dropped = change_rows(parts_, [&](Index& index) -> Result<bool> {
    std::vector<EntryRow> rows;
    {
      auto query = index.database().query(
          kSql, {sqlite::number(epochs.suspect_after + 1), sqlite::number(epochs.suspect_upto + 1)});
      while (true) {
        auto row = query.next();
        if (!row) return std::move(row).error();
        if (!*row) break;
        rows.push_back(entry_row(query));
      }
    }
    for (const auto& row : rows) {
      if (auto done = drop_derived(index, row); !done) return std::move(done).error();
    }
    return !rows.empty();
  });
  if (!dropped) return std::move(dropped).error();
  return sweep_blobs(parts_);
}

}  // namespace hitfs
