#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "store/base/result.h"
#include "store/blobs/blob_store.h"
#include "store/entry_store.h"
#include "store/store_parts.h"

namespace hitfs {

// Reads the bytes of the store again and compares them with their digests. What is damaged is marked, so that nobody
// reads it or relies on it, and the entries that need it are retired, so that they are pulled again. Memory does not
// grow with the store. One run per object; runs beside everything else.
class Verifier {
 public:
  using Progress = std::function<bool(uint64_t)>;
  // `parts` outlives it; `progress` may be empty.
  Verifier(StoreParts& parts, Progress progress) : parts_(parts), progress_(std::move(progress)), blobs_(parts.paths) {}

  // The whole store, index included.
  Result<VerifyReport> everything();
  Result<VerifyReport> one(const Key& key);
  // What a reboot made suspect: sound entries become visible, and nothing is suspect afterwards.
  Result<VerifyReport> suspects();

 private:
  Status check_index();
  Status check_all_blobs();
  Status check_all_entries();
  Status drop_suspect_artifacts(const Epochs& epochs);
  // Re-hashes a blob; true when its bytes are right.
  Result<bool> check_blob(const BlobRow& row);
  // Whether all that an entry needs is sound; with `rehash` its blobs are read, else their rows are believed.
  Result<bool> check_entry(const EntryRow& row, bool rehash);
  Result<bool> check_entry_blobs(const EntryRow& row, const std::vector<Digest>& blobs, bool rehash);
  Status mark_damaged(const Digest& digest, const std::string& why);
  Status check_suspect(const EntryRow& row);
  // Writes a manifest that was lost anew from its kept copy.
  Status restore_manifest(const EntryRow& row);
  Status mark_sound(const EntryRow& row);
  Status drop(const EntryRow& row);

  StoreParts& parts_;
  Progress progress_;
  BlobStore blobs_;
  VerifyReport report_;
  bool stopped_ = false;  // by `progress`
};

}  // namespace hitfs
