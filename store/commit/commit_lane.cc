#include "store/commit/commit_lane.h"

#include <algorithm>
#include <stop_token>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/index/blob_table.h"
#include "store/upkeep/store_opening.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};

bool alive(const auto* waiting) { return !waiting->result || waiting->result->has_value(); }

bool any_durable(const auto& batch) {
  return std::any_of(batch.begin(), batch.end(), [](const auto* waiting) { return waiting->change->durable; });
}

}  // namespace

Result<bool> CommitLane::run(Change& change) {
  Waiting me{&change, std::nullopt};
  Batch batch;
  {
    auto state = state_.lock();
    state->queue.push_back(&me);
    // Bounded by the disk: a leader does nothing but its batch.
    state.wait(std::stop_token{}, [&](const State& now) { return me.done || !now.led; });
    if (me.done) return *std::move(me.result);
    state->led = true;
    batch.swap(state->queue);
  }
  carry_out(batch);
  {
    auto state = state_.lock();
    state->led = false;
    for (auto* waiting : batch) waiting->done = true;
  }
  state_.notify_all();
  return *std::move(me.result);
}

void CommitLane::carry_out(Batch batch) {
  while (!batch.empty()) {
    synced_all_ = false;
    sync_data(batch);
    Batch later = place(batch);
    sync_folders(batch);
    auto done = change_rows(batch);
    if (done) published_(index_);
    for (auto* waiting : batch) {
      if (!done && alive(waiting)) waiting->result = done.error();
      if (!waiting->result->has_value()) note_error(waiting->result->error());
      bool committed = waiting->result->has_value() && **waiting->result;
      if (waiting->change->settle) waiting->change->settle(index_, committed);
    }
    batch = std::move(later);
  }
}

void CommitLane::sync_data(Batch& batch) {
  size_t files = 0;
  bool sync_all = false;
  for (const auto* waiting : batch) {
    if (waiting->change->durable) files += waiting->change->files.size() + waiting->change->more_files;
    sync_all = sync_all || waiting->change->sync_all;
  }
  if (sync_all || files > kSyncEach) {
    auto synced = sync_everything();
    for (auto* waiting : batch) {
      if (!synced && (waiting->change->durable || waiting->change->sync_all)) waiting->result = synced.error();
    }
    return;
  }
  for (auto* waiting : batch) {
    if (!waiting->change->durable) continue;
    for (int file : waiting->change->files) {
      if (auto synced = io::sync_data(file, "commit"); !synced) waiting->result = std::move(synced).error();
    }
  }
}

Status CommitLane::sync_everything() {
  auto folder = io::open_read(paths_.root);
  if (!folder) return std::move(folder).error();
  auto synced = io::sync_filesystem(folder->get(), "commit");
  synced_all_ = synced.has_value();
  return synced;
}

CommitLane::Batch CommitLane::place(Batch& batch) {
  Batch later;
  Change::PlacedBlobs placed;
  for (auto* waiting : batch) {
    if (!alive(waiting) || !waiting->change->place) continue;
    auto done = waiting->change->place(index_, placed);
    if (!done) waiting->result = std::move(done).error();
    if (done && *done == Change::Placing::later) later.push_back(waiting);
  }
  std::erase_if(batch, [&](auto* waiting) { return std::find(later.begin(), later.end(), waiting) != later.end(); });
  return later;
}

void CommitLane::sync_folders(Batch& batch) {
  std::set<std::filesystem::path> folders;
  for (const auto* waiting : batch) {
    if (waiting->change->durable && alive(waiting)) folders.merge(std::set(waiting->change->folders));
  }
  auto synced = sync_names(folders);
  if (synced) return;
  for (auto* waiting : batch) {
    if (waiting->change->durable && alive(waiting)) waiting->result = synced.error();
  }
}

Status CommitLane::sync_names(const std::set<std::filesystem::path>& folders) {
  if (folders.size() > kSyncEach) {
    // Not sync_everything(): what is placed in this very batch must not count as flushed by it.
    auto folder = io::open_read(paths_.root);
    return folder ? io::sync_filesystem(folder->get(), "commit") : Status(std::move(folder).error());
  }
  for (const auto& folder : folders) {
    if (auto synced = io::sync_directory(folder, "commit"); !synced) return synced;
  }
  return Ok{};
}

bool CommitLane::emptied_for_good() {
  if (emptied_.rows.empty()) return false;
  if (!synced_all_) {
    auto synced = sync_names(emptied_.folders);
    if (!synced) kLog.warn("sync error=\"{}\" effect=\"the trash is kept\"", synced.error().message);
    if (!synced) return false;
  }
  return true;
}

Status CommitLane::change_rows(Batch& batch) {
  bool durable = any_durable(batch) || synced_all_;
  bool for_good = durable && emptied_for_good();
  if (auto set = index_.set_durable(durable); !set) return set;
  auto before = index_.working();
  auto transaction = sqlite::Transaction::begin(index_.database());
  if (!transaction) return std::move(transaction).error();
  bool changed = synced_all_ || for_good;
  auto change = [&]() -> Status {
    if (for_good) {
      if (auto removed = index_.remove_trash(emptied_.rows); !removed) return removed;
    }
    if (synced_all_) {
      if (auto noted = index_.note_flushed(); !noted) return noted;
    }
    for (auto* waiting : batch) {
      if (!alive(waiting)) continue;
      auto saved = index_.working();
      auto part = sqlite::Savepoint::begin(index_.database());
      if (!part) return std::move(part).error();
      auto applied = waiting->change->apply ? waiting->change->apply(index_) : Result<bool>(true);
      // A full disk makes SQLite roll everything back by itself.
      if (!index_.database().in_transaction())
        return applied ? Status(Error{Code::internal, "rolled back"}) : Status(applied.error());
      if (applied && *applied) {
        if (auto kept = part->keep(); !kept) return kept;
        changed = true;
      } else {
        index_.restore(std::move(saved));
      }
      waiting->result = std::move(applied);
    }
    if (!changed) return Ok{};  // rolled back, at no cost for the disk
    if (auto saved = index_.save_counters(); !saved) return saved;
    return transaction->commit("commit");
  };
  auto done = change();
  if (!done) {
    index_.restore(std::move(before));
    return done;
  }
  if (changed) index_.note_committed();
  if (for_good) emptied_ = {};
  for (auto& item : index_.take_trash()) trash_.push_back(item);
  if (durable) empty_trash();
  return done;
}

// Rows are read and written by SQLite alone here, so `corrupt` means its file.
void CommitLane::note_error(const Error& error) {
  if (error.code != Code::corrupt || damage_noted_) return;
  damage_noted_ = true;
  mark_index_damaged(paths_);
}

void CommitLane::empty_trash() {
  BlobTable blobs(index_);
  for (const auto& item : std::exchange(trash_, {})) {
    bool in_use = false;
    std::filesystem::path path;
    switch (item.kind) {
      case TrashItem::Kind::pack: path = paths_.pack(item.number); break;
      case TrashItem::Kind::manifest: path = paths_.manifest(item.number); break;
      case TrashItem::Kind::blob: {
        path = paths_.blob(item.digest.hex());
        auto row = blobs.find(item.digest);
        // The same bytes may have come back since.
        in_use = !row || (*row && (*row)->place.pack == 0);
        break;
      }
    }
    auto gone = in_use ? Status(Ok{}) : io::unlink(path, "trash");
    if (gone || gone.error().code == Code::not_found) {
      emptied_.rows.push_back(item.row);
      if (gone) emptied_.folders.insert(path.parent_path());
    } else {
      // The row stays: the next daemon tries again.
      kLog.warn("unlink error=\"{}\"", gone.error().message);
    }
  }
}

Status CommitLane::take_over_trash() {
  auto items = index_.all_trash();
  if (!items) return std::move(items).error();
  trash_ = *std::move(items);
  empty_trash();
  return Ok{};
}

}  // namespace hitfs
