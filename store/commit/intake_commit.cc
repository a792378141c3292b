// The second half of Intake: from blobs that are here to an entry that is visible.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/commit/intake.h"
#include "store/commit/same_content.h"
#include "store/index/push_table.h"
#include "store/upkeep/retire.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};

// Commits that may wait for a flush before one is made: bounds the names in intakes/, which the next open reads, and
// the manifests that the index keeps.
constexpr size_t kUnflushedAtMost = 1000;

}  // namespace

// One commit under way; lives on the stack of commit_manifest().
struct Intake::CommitWork {
  explicit CommitWork(Notices& notices) : retired(notices, "replaced") {}

  CommitOptions options;
  std::vector<Digest> blobs;  // what the entry refers to
  // Of an entry; not for an attached artifact.
  std::string manifest;
  std::optional<ManifestView> view;
  EntryRow row;
  std::filesystem::path manifest_name;
  UniqueFd manifest_file;

  Committed outcome;
  uint64_t same_epoch = kDurable;  // of the entry that turned out to be the same in the lane
  uint64_t compared_id = 0;        // the existing entry that was compared, and is not the same

  Change* change = nullptr;
  std::function<Result<bool>(Index&)> rows;
  bool replaces_damage = false;               // a name in the store has other bytes now than readers may have open
  std::vector<std::filesystem::path> placed;  // names in the store that were not there before
  RetiredRows retired;
  uint64_t epoch = kDurable;
  uint64_t transaction = 0;  // which carried it
};

namespace {

// Compares with the entry that the key has; one that cannot be read any more is no reason to refuse another.
bool says_the_same(const StoreParts& parts, const ManifestView& made, const EntryRow& existing, bool with_times,
                   bool& readable) {
  auto manifest = MappedManifest::open(parts.paths.manifest(existing.entry.id).string());
  readable = manifest.has_value();
  return readable && same_content(made, (*manifest)->view(), existing, with_times);
}

}  // namespace

Result<uint64_t> Intake::number_entry(ManifestHeader& header, size_t records) {
  if (auto open = check_open(); !open) return std::move(open).error();
  auto key = Key::make(header.key.scope, header.key.space, header.key.name);
  if (!key) return in_context("key", std::move(key).error());
  auto number = parts_.numbers->take(std::max<size_t>(1, records));
  if (!number) return number;
  header.entry_id = *number;
  header.created_ns = parts_.clock->unix_ns();
  return number;
}

Result<Committed> Intake::commit(const ManifestBuilder& tree, ManifestHeader header, const CommitOptions& options) {
  auto number = number_entry(header, tree.size());
  if (!number) return std::move(number).error();
  return commit_manifest(tree.finish(header), options);
}

Result<Committed> Intake::commit_artifact(ManifestHeader header, const CommitOptions& options) {
  if (!header.artifact) return Error{Code::invalid_argument, "the header names no artifact"};
  auto number = number_entry(header, 1);
  if (!number) return std::move(number).error();
  return commit_manifest(ManifestBuilder().finish(header), options);
}

Result<Committed> Intake::commit_draft(const ManifestView& draft, const std::filesystem::path& staging,
                                       const CommitOptions& options) {
  std::vector<Digest> contents(draft.size());
  for (uint32_t position = 0; position < draft.size(); ++position) {
    auto record = draft.at(position);
    if (record.type != FileType::file) continue;
    const auto* staged = std::get_if<StagedNumber>(&record.content);
    if (staged == nullptr) return Error{Code::invalid_argument, "the manifest is no draft"};
    auto digest = adopt(staging / std::to_string(staged->number));
    if (!digest) return in_context(draft.path(position), std::move(digest).error());
    contents[position] = *digest;
  }
  auto header = draft.header();
  if (header.terminal_output) {
    auto digest = adopt(options.terminal_output);
    if (!digest) return in_context("terminal output", std::move(digest).error());
    header.terminal_output = *digest;
  }
  auto number = number_entry(header, draft.size());
  if (!number) return std::move(number).error();
  auto manifest = finish_draft(draft, header, contents);
  if (!manifest) return std::move(manifest).error();
  return commit_manifest(*std::move(manifest), options);
}

Status Intake::require(const std::vector<Digest>& blobs) {
  for (const auto& digest : blobs) {
    auto here = has_blob(digest);
    if (!here) return std::move(here).error();
    if (!*here) return Error{Code::invalid_argument, "blob " + digest.text() + " was not brought and is not here"};
  }
  return Ok{};
}

Result<Committed> Intake::commit_manifest(std::string manifest, const CommitOptions& options) {
  over_ = true;
  CommitWork work(parts_.notices);
  work.options = options;
  work.manifest = std::move(manifest);
  auto view = ManifestView::parse(io::as_bytes(work.manifest));
  if (!view) return Error{Code::invalid_argument, view.error().message};
  if (view->is_draft()) return Error{Code::invalid_argument, "a draft is committed with commit_draft()"};
  if (view->size() == 0 && !view->header().artifact) return Error{Code::invalid_argument, "an entry without content"};
  work.view = *view;
  work.blobs = blobs_of(*view);
  work.row = row_for(*view, options.origin);
  if (auto here = require(work.blobs); !here) return std::move(here).error();

  auto known = compare_with_existing(work);
  if (!known) return std::move(known).error();
  if (*known) return **std::move(known);

  if (auto written = write_manifest(work); !written) return std::move(written).error();
  work.rows = [&](Index& index) -> Result<bool> {
    auto result = insert_entry(work, index);
    if (!result) return std::move(result).error();
    work.outcome.result = *result;
    return *result == CommitResult::committed;
  };
  const auto& key = work.row.entry.key;
  auto committed = carry_out(work);
  if (!committed) {
    if (committed.error().code == Code::no_space) {
      kLog.warn("refuse key={} bytes={} error=\"{}\"", key.text(), work.row.entry.bytes, committed.error().message);
    }
    return in_context("commit " + key.text(), std::move(committed).error());
  }
  if (*committed) {
    work.outcome.entry_id = work.row.entry.id;
    if (!work.retired.entries().empty()) work.outcome.retired = work.retired.entries().front();
  }
  if (work.outcome.result == CommitResult::same) {
    if (auto durable = as_durable_as_asked(work, work.same_epoch); !durable) return std::move(durable).error();
  }
  parts_.notices.deliver();
  return std::move(work.outcome);
}

// What the commit comes to when the key's entry decides it already.
Result<std::optional<Committed>> Intake::compare_with_existing(CommitWork& work) {
  auto existing = parts_.reader->find(work.row.entry.key);
  if (!existing) return std::move(existing).error();
  auto epochs = parts_.published.lock()->epochs;
  if (!*existing || !epochs.trusted((*existing)->epoch, parts_.boot_id)) return std::optional<Committed>();
  bool readable = false;
  work.compared_id = (*existing)->entry.id;
  bool same = says_the_same(parts_, *work.view, **existing, work.options.replace, readable);
  if (same) {
    if (auto durable = as_durable_as_asked(work, (*existing)->epoch); !durable) return std::move(durable).error();
    return std::optional(Committed{CommitResult::same, work.compared_id, std::nullopt});
  }
  if (work.options.replace || !readable) return std::optional<Committed>();
  return std::optional(Committed{CommitResult::different, work.compared_id, std::nullopt});
}

// "The same is here" acknowledges what is here: for a durable commit it must be on disk too.
Status Intake::as_durable_as_asked(const CommitWork& work, uint64_t epoch) {
  if (!work.options.durable || parts_.published.lock()->epochs.is_flushed(epoch)) return Ok{};
  return flush_store(parts_);
}

Status Intake::write_manifest(CommitWork& work) {
  work.manifest_name = name_for("manifest", std::to_string(work.row.entry.id));
  names_.push_back(work.manifest_name);
  auto file = io::create(work.manifest_name, "manifest", {.mode = 0400});
  if (!file) return std::move(file).error();
  work.manifest_file = *std::move(file);
  return io::write_all(work.manifest_file.get(), io::as_bytes(work.manifest), "manifest");
}

// Room for what `work` brings, as far as it is known to be new.
Result<Reservation> Intake::reserve(const CommitWork& work) {
  uint64_t bytes = work.manifest.size();
  uint64_t files = work.manifest.empty() ? 0 : 1;
  if (pack_) {
    bytes += pack_->size();
    files += 1;
  }
  for (const auto& [digest, brought] : brought_) {
    if (brought.place.pack != 0) continue;
    bytes += digest.size;
    files += 1;
  }
  return evictor_.reserve(bytes, files);
}

Change Intake::change_for(CommitWork& work) {
  Change change;
  change.durable = work.options.durable;
  change.sync_all = work.options.durable && needs_sync_all_;
  for (const auto& file : files_) change.files.push_back(file.get());
  if (work.manifest_file) change.files.push_back(work.manifest_file.get());
  if (pack_) change.files.push_back(pack_->fd());
  change.more_files = more_files_;
  change.place = [&](Index& index, Change::PlacedBlobs& placed) { return place(work, index, placed); };
  change.apply = [&](Index& index) { return change_rows(work, index); };
  change.settle = [&](Index&, bool committed) { settle(work, committed); };
  return change;
}

// Brings what `work` names into the store, within its limits. True when rows were changed.
Result<bool> Intake::carry_out(CommitWork& work) {
  if (pack_) {
    if (auto finished = pack_->finish(); !finished) return std::move(finished).error();
  }
  auto room = reserve(work);
  if (!room) return std::move(room).error();
  auto change = change_for(work);
  work.change = &change;
  auto done = parts_.lane->run(change);
  if (work.replaces_damage) {
    if (auto noted = note_damage(parts_); !noted) kLog.warn("damage error=\"{}\"", noted.error().message);
  }
  if (!done || !*done || work.options.durable) {
    remove_names();
    remove_intake_names(parts_);
    return done;
  }
  parts_.intake_names.lock()->push_back({work.transaction, std::exchange(names_, {})});
  if (++parts_.unflushed_commits >= kUnflushedAtMost) {
    if (auto flushed = flush_store(parts_); !flushed) kLog.warn("flush error=\"{}\"", flushed.error().message);
  }
  return done;
}

Result<Change::Placing> Intake::place(CommitWork& work, Index& index, Change::PlacedBlobs& placed) {
  for (const auto& digest : work.blobs) {
    auto brought = brought_.find(digest);
    if (brought == brought_.end() || brought->second.place.pack != 0) continue;
    auto done = place_blob(work, index, digest, brought->second, placed);
    if (!done || *done == Change::Placing::later) return done;
  }
  if (pack_) {
    auto done = place_name(work, name_for("pack", std::to_string(pack_id_)), parts_.paths.pack(pack_id_));
    if (!done) return std::move(done).error();
  }
  if (!work.manifest.empty()) {
    auto to = parts_.paths.manifest(work.row.entry.id);
    auto made = io::make_directories(to.parent_path(), 0700, "manifests");
    if (!made) return std::move(made).error();
    work.change->folders.insert(parts_.paths.manifests());
    if (auto done = place_name(work, work.manifest_name, to); !done) return std::move(done).error();
  }
  return Change::Placing::done;
}

Result<Change::Placing> Intake::place_blob(CommitWork& work, Index& index, const Digest& digest, const Brought& brought,
                                           Change::PlacedBlobs& placed) {
  BlobTable table(index);
  auto row = table.find(digest);
  if (!row) return std::move(row).error();
  if (table.serves(*row, digest, true, work.options.durable ? kDurable : index.epochs().current)) {
    return Change::Placing::done;
  }
  // Another commit of this batch brings the same bytes: whether its rows come about is not known yet.
  if (!placed.insert(digest).second) return Change::Placing::later;
  auto to = parts_.paths.blob(digest.hex());
  work.change->folders.insert(to.parent_path());
  if (!*row && ::access(to.c_str(), F_OK) != 0) {
    auto done = place_name(work, brought.name, to);
    if (!done) return std::move(done).error();
    return Change::Placing::done;
  }
  if (*row && (*row)->epoch == kDamaged) work.replaces_damage = true;
  // Over bytes that somebody may be reading: never a moment without the name.
  auto spare = name_for("spare", digest.hex());
  names_.push_back(spare);
  if (auto linked = io::link(brought.name, spare, "blob"); !linked) return std::move(linked).error();
  if (auto renamed = io::rename(spare, to, "blob"); !renamed) return std::move(renamed).error();
  return Change::Placing::done;
}

Status Intake::place_name(CommitWork& work, const std::filesystem::path& from, const std::filesystem::path& to) {
  // In a second try (Placing::later) it may be there already.
  if (std::find(work.placed.begin(), work.placed.end(), to) != work.placed.end()) return Ok{};
  if (auto linked = io::link(from, to, "place"); !linked) return linked;
  work.placed.push_back(to);
  work.change->folders.insert(to.parent_path());
  return Ok{};
}

Result<bool> Intake::change_rows(CommitWork& work, Index& index) {
  work.epoch = work.options.durable ? kDurable : index.epochs().current;
  work.transaction = index.transactions() + 1;
  return work.rows(index);
}

Status Intake::refer_blobs(CommitWork& work, Index& index) {
  BlobTable table(index);
  if (pack_) {
    if (auto added = table.add_pack(pack_id_, pack_->size()); !added) return added;
  }
  for (const auto& digest : work.blobs) {
    auto brought = brought_.find(digest);
    std::optional<Place> copy;
    if (brought != brought_.end()) copy = brought->second.place;
    if (auto referred = table.refer(digest, copy, work.epoch); !referred) return referred;
  }
  return pack_ ? table.drop_pack_if_unused(pack_id_) : Status(Ok{});
}

Result<CommitResult> Intake::insert_entry(CommitWork& work, Index& index) {
  const auto& key = work.row.entry.key;
  auto existing = index.find_visible(key);
  if (!existing) return std::move(existing).error();
  if (*existing && (*existing)->entry.id != work.compared_id && index.trusted((*existing)->epoch)) {
    // Another commit of the key came in between.
    bool readable = false;
    bool same = says_the_same(parts_, *work.view, **existing, work.options.replace, readable);
    work.outcome.entry_id = (*existing)->entry.id;
    work.same_epoch = (*existing)->epoch;
    if (same) return CommitResult::same;
    if (!work.options.replace && readable) return CommitResult::different;
  }
  if (auto referred = refer_blobs(work, index); !referred) return std::move(referred).error();
  if (*existing) {
    auto retired = retire_row(parts_, index, **existing);
    if (!retired) return std::move(retired).error();
    work.retired.add(*retired);
  }
  work.row.epoch = work.epoch;
  if (auto inserted = index.insert(work.row); !inserted) return std::move(inserted).error();
  if (work.epoch != kDurable) {
    if (auto kept = index.keep_manifest(work.row.entry.id, work.epoch, work.manifest); !kept) {
      return std::move(kept).error();
    }
  }
  auto queued = PushTable(index).add(work.row.entry, work.options.push_to, parts_.clock->unix_ms());
  if (!queued) return std::move(queued).error();
  return CommitResult::committed;
}

void Intake::settle(CommitWork& work, bool committed) {
  work.retired.settle(committed);
  if (committed) {
    if (work.view) parts_.notices.committed(work.row.entry);
    for (const auto& digest : work.blobs) {
      auto brought = brought_.find(digest);
      // It was writable outside; in the store nothing is.
      if (brought != brought_.end() && brought->second.adopted) ::chmod(parts_.paths.blob(digest.hex()).c_str(), 0400);
    }
    return;
  }
  for (const auto& name : work.placed) {
    auto gone = io::unlink(name, "place");
    if (gone || gone.error().code == Code::not_found) continue;
    kLog.warn("unlink error=\"{}\"", gone.error().message);
    // Its name in intakes/ lets the next open remove it.
    names_.clear();
  }
}

Status Intake::attach(uint64_t entry_id, const Digest& artifact) {
  if (auto open = check_open(); !open) return open;
  over_ = true;
  CommitWork work(parts_.notices);
  work.blobs = {artifact};
  if (auto here = require(work.blobs); !here) return here;
  work.rows = [&](Index& index) -> Result<bool> {
    auto row = index.get(entry_id);
    if (!row) return std::move(row).error();
    if (!*row || (*row)->entry.retired) return Error{Code::not_found, "the entry is gone"};
    bool sound = (*row)->entry.artifact && (!(*row)->derived_in || index.trusted(*(*row)->derived_in));
    if (sound) return false;
    if (auto dropped = drop_derived(index, **row); !dropped) return std::move(dropped).error();
    if (auto referred = refer_blobs(work, index); !referred) return std::move(referred).error();
    if (auto set = index.set_derived(entry_id, artifact, work.epoch); !set) return std::move(set).error();
    return true;
  };
  auto attached = carry_out(work);
  if (!attached) return in_context("attach an artifact", std::move(attached).error());
  return Ok{};
}

}  // namespace hitfs
