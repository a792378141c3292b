#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/result.h"
#include "store/entry.h"
#include "store/manifest.h"
#include "store/store_paths.h"
#include "store/store_reader.h"
#include "store/stream.h"

namespace hitfs {

class AccessLog;
class PushQueue;

struct StoreLimits {
  uint64_t max_bytes = 20ull << 30;  // blobs and manifests; 0 means no limit but the disk
  uint64_t max_files = 0;            // files of the store on disk (packs, blobs, manifests); 0 means no limit
};

struct CommitOptions {
  bool durable = false;          // return only when a power cut cannot take it back (shared flush)
  bool replace = true;           // another entry of the key is retired; else the commit says `same` or `different`
  std::string origin = "local";  // or the name of the remote it was pulled from
  std::filesystem::path terminal_output = {};  // of a draft whose header names one: the file with its bytes
  std::vector<std::string> push_to = {};       // remotes that get a row in the push queue, in the same transaction
};

enum class CommitResult {
  committed,  // visible now
  same,       // the key has these bytes already; nothing changed
  different,  // the key has other bytes and `replace` was false; nothing changed
};

struct Committed {
  CommitResult result = CommitResult::committed;
  uint64_t entry_id = 0;         // of the entry that is visible now
  std::optional<Entry> retired;  // the entry that was replaced
};

// An entry in the making: its blobs come in, then one commit makes it visible whole; dropped uncommitted it leaves
// nothing that counts (unreferenced bytes go at once). One owner, one thread at a time; several intakes may run side by
// side.
class EntryIntake {
 public:
  virtual ~EntryIntake() = default;

  // True when a blob of these bytes is here; it stays at least until this intake ends.
  virtual Result<bool> has_blob(const Digest& digest) = 0;
  // Starts a blob; small ones go into the intake's pack, larger ones into a file of their own. The sink is valid until
  // end_blob(), which gives the digest of what was written.
  virtual Result<ByteSink*> begin_blob(std::optional<uint64_t> size) = 0;
  virtual Result<Digest> end_blob() = 0;
  // All of a blob at once.
  Result<Digest> add_blob(std::span<const std::byte> bytes);
  // Takes a finished file in, hashing it: small contents are copied, a larger file gets a second name when it is ours
  // alone (same owner and file system, one link), else it is copied while it is hashed. `file` stays where it is, so
  // that a commit that fails loses nothing: the caller removes it, and never writes to it again.
  virtual Result<Digest> adopt(const std::filesystem::path& file) = 0;

  // Both check that every blob of the tree is here. `no_space` when the entry does not fit the limits even after
  // eviction. header.entry_id and created_ns are filled in by the store.
  virtual Result<Committed> commit(const ManifestBuilder& tree, ManifestHeader header,
                                   const CommitOptions& options) = 0;
  // An entry that is an artifact only (header.artifact names a blob of this intake).
  virtual Result<Committed> commit_artifact(ManifestHeader header, const CommitOptions& options) = 0;
  // A draft of the mount: staged number n is the file `staging / to_string(n)`; positions stay as in the draft. The
  // staged files stay, as with adopt().
  virtual Result<Committed> commit_draft(const ManifestView& draft, const std::filesystem::path& staging,
                                         const CommitOptions& options) = 0;
};

struct StoreStats {
  uint64_t entries = 0, retired_entries = 0, blobs = 0, bytes = 0, files = 0;
  uint64_t max_bytes = 0, max_files = 0;
  uint64_t retired_bytes = 0;    // part of `bytes` that the release of retired entries will free
  uint64_t evicted_entries = 0;  // since the store was made
};

struct VerifyReport {
  uint64_t entries = 0, blobs = 0, bytes = 0;
  std::vector<std::string> damaged;  // a line each: what and why
  std::vector<Key> dropped_entries;  // retired so that they are pulled again
};

// The store of one machine, as its only writer: the daemon. Safe from several threads. Opening scans nothing.
class EntryStore {
 public:
  struct Options {
    StoreLimits limits = {};
    const Clock* clock = &system_clock();
    std::string boot_id = {};  // "" for the kernel's; tests give another to stand for a reboot
    // The f_type of statfs() of a folder; tests give their own.
    std::function<Result<uint64_t>(const std::filesystem::path&)> filesystem_type = {};
  };
  // Makes a new store when the folder is empty or missing. Refuses, with the remedy in the message: a store in use by
  // another daemon (`unavailable`), on a network file system or of a newer format (`invalid_argument`). A damaged or
  // lost index is kept aside and made again, with an error in the log: its entries are visible again when
  // check_after_reboot() has read them.
  static Result<std::unique_ptr<EntryStore>> open(const StorePaths& paths, const Options& options);
  virtual ~EntryStore() = default;

  virtual StoreReader& reader() = 0;
  virtual std::unique_ptr<EntryIntake> begin() = 0;

  // Bytes of a derived form (an artifact packed from a tree) belong to the entry until eviction needs room; first to
  // go.
  virtual Status attach_artifact(uint64_t entry_id, const Digest& artifact, EntryIntake& intake) = 0;

  // Hides an entry: no longer found by key, no longer to be pushed. Its bytes stay until release(). Tells the observer.
  virtual Result<Entry> retire(uint64_t entry_id, const std::string& why) = 0;
  virtual Result<std::vector<Entry>> retired() = 0;
  // Frees the bytes of a retired entry, as far as no other entry refers to them.
  virtual Status release(uint64_t entry_id) = 0;
  virtual Status set_pinned(uint64_t entry_id, bool pinned) = 0;
  // Notes a use; `last_used` is written at most every ten minutes.
  virtual Status touch(uint64_t entry_id) = 0;
  // Retires least recently used entries until `bytes` and `files` more would fit.
  virtual Result<std::vector<Entry>> make_room(uint64_t bytes, uint64_t files) = 0;

  // Called once for each commit and retirement, in the order in which they happened, one call at a time, without any
  // lock held; may call the store. A call may come on the thread of another one's commit. Set once, before use.
  struct Observer {
    std::function<void(const Entry&)> committed;
    std::function<void(const Entry&, const std::string& why)> retired;
  };
  virtual void observe(Observer observer) = 0;

  // Makes everything committed so far durable; concurrent calls share one flush.
  virtual Status flush() = 0;
  virtual StoreStats stats() = 0;
  // Re-hashes everything, or the entry of `only`; what is damaged is dropped. `progress(bytes done)` may be empty;
  // returning false from it ends the run early.
  virtual Result<VerifyReport> verify(const std::optional<Key>& only, std::function<bool(uint64_t)> progress) = 0;
  // After a reboot: reads what was committed but perhaps not on disk, makes the sound entries visible again and retires
  // the others. Cheap when there is nothing to do; the daemon calls it in the background after it started.
  virtual Result<VerifyReport> check_after_reboot(std::function<bool(uint64_t)> progress) = 0;

  virtual PushQueue& push_queue() = 0;
  virtual AccessLog& access_log() = 0;
};

}  // namespace hitfs
