#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <unordered_set>
#include <vector>

#include "store/base/guarded.h"
#include "store/base/result.h"
#include "store/index/index.h"
#include "store/store_paths.h"

namespace hitfs {

// One change of the store, carried out in the lane: bytes to the disk, names into place, rows in a transaction. All
// functions run on the leader's thread and may not call into the lane again.
struct Change {
  bool durable = false;   // a power cut cannot take it back once run() has returned
  bool sync_all = false;  // everything written so far counts as on disk afterwards (syncfs)

  // Open descriptors of the files that must be on disk before a durable change is visible; `more_files` counts others.
  std::vector<int> files;
  size_t more_files = 0;

  // Moves names into place; told which blobs the batch has placed already, it may ask for a `later` batch. Folders that
  // it changed go into `folders`, which are synced for a durable change.
  enum class Placing { done, later };
  using PlacedBlobs = std::unordered_set<Digest>;
  std::function<Result<Placing>(Index&, PlacedBlobs&)> place;
  std::set<std::filesystem::path> folders;

  // Changes rows. False or an Error undoes this change's rows alone; run() gives that back.
  std::function<Result<bool>(Index&)> apply;

  // After the transaction, still in the lane: true when the rows are there. May publish, unlink, undo the placing.
  std::function<void(Index&, bool committed)> settle;
};

// Carries out changes of the store one batch after the other. Whoever comes while nobody leads becomes the leader of
// all who wait, so that concurrent commits share one flush and one transaction. run() waits for the disk; no lock is
// held meanwhile, but the lane is the one place in which the store changes. Safe from several threads.
class CommitLane {
 public:
  // Up to this many files are synced one by one, more by one syncfs.
  static constexpr size_t kSyncEach = 64;

  // `folder` lies on the store's file system.
  // `published` is called in the lane after each transaction, before any settle().
  CommitLane(Index& index, StorePaths paths, std::function<void(const Index&)> published)
      : index_(index), paths_(std::move(paths)), published_(std::move(published)) {}

  // Before the first run(): unlinks what an earlier process threw away.
  Status take_over_trash();

  // True when the rows were changed, false when apply() said that nothing is to be changed.
  Result<bool> run(Change& change);

 private:
  struct Waiting {
    Change* change;
    std::optional<Result<bool>> result;  // the leader's until `done`
    bool done = false;
  };
  using Batch = std::vector<Waiting*>;
  struct State {
    Batch queue;
    bool led = false;
  };

  void carry_out(Batch batch);
  void sync_data(Batch& batch);
  [[nodiscard]] Status sync_everything();
  Batch place(Batch& batch);
  void sync_folders(Batch& batch);
  [[nodiscard]] Status sync_names(const std::set<std::filesystem::path>& folders);
  Status change_rows(Batch& batch);
  void empty_trash();
  // Whether the names of emptied_ are gone from the disk: only then may their rows go, else a power cut brings back
  // files that nobody knows of. Asked in durable batches alone, which wait for the disk anyway.
  [[nodiscard]] bool emptied_for_good();
  void note_error(const Error& error);

  Index& index_;
  const StorePaths paths_;
  const std::function<void(const Index&)> published_;
  // The leader's alone:
  bool synced_all_ = false;       // in the batch under way
  std::vector<TrashItem> trash_;  // files to unlink once their removal from the index is on disk
  bool damage_noted_ = false;
  struct Emptied {
    std::vector<int64_t> rows;  // of trash whose files are unlinked
    std::set<std::filesystem::path> folders;
  };
  Emptied emptied_;
  Guarded<State> state_;
};

}  // namespace hitfs
