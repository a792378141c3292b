#pragma once

#include <string>
#include <vector>

#include "store/base/result.h"
#include "store/store_parts.h"

namespace hitfs {

// Steps in the life of an entry after its commit, for use inside of a Change. Called by the CommitLane's leader only.

// Hides a visible entry and forgets its pushes. The caller tells the observer (RetiredRows). Gives the row as it is
// now.
Result<EntryRow> retire_row(StoreParts& parts, Index& index, EntryRow row);

// The blobs that a row refers to: those of its manifest, or of the copy that is kept of it, and a derived artifact.
// `corrupt` when there is neither.
Result<std::vector<Digest>> referred_blobs(const StoreParts& parts, Index& index, const EntryRow& row);

// Removes a retired row; its blobs are to be swept afterwards.
Status release_row(StoreParts& parts, Index& index, const EntryRow& row);

// Takes a derived artifact away from its entry; to be swept afterwards.
Status drop_derived(Index& index, const EntryRow& row);

// What was retired in a Change, told when its transaction is done.
class RetiredRows {
 public:
  RetiredRows(Notices& notices, std::string why) : notices_(notices), why_(std::move(why)) {}
  void add(const EntryRow& row) { entries_.push_back(row.entry); }
  // For Change::settle.
  void settle(bool committed);
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

 private:
  Notices& notices_;
  std::string why_;
  std::vector<Entry> entries_;
};

}  // namespace hitfs
