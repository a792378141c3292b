#pragma once

#include <memory>
#include <optional>
#include <string>

#include "store/archive/guard.h"
#include "store/codecs/codec.h"
#include "store/entry_store.h"
#include "sync/remotes/remote.h"
#include "sync/scratch.h"

namespace hitfs {

// What the daemon does with an artifact that somebody else made: reads it whole through the codec of its namespace, and
// commits it in the form that this namespace keeps.
struct Admission {
  enum class Verdict {
    committed,  // visible now
    same,       // was there, byte for byte
    different,  // the key has other bytes, and they stay
  };
  Verdict verdict = Verdict::committed;
  uint64_t entry_id = 0;
};

// Whether the artifact itself is the primary form of a namespace's entries; else its tree is.
[[nodiscard]] bool keeps_artifacts(const std::string& space);

// Takes in the artifact in `file`. Nothing is kept when it fails: `corrupt` for damaged bytes or a rule of the guard
// broken, `permission_denied` for an artifact of a failed task (an Nx client before 23 would read its code as
// 0), `no_space` for a limit. A format that we do not know becomes an opaque entry.
enum class Form {
  primary,    // as the namespace keeps it
  with_tree,  // unpacked for mounts; an artifact stays beside the tree as its derived form
};
Result<Admission> admit_artifact(EntryStore& store, const Scratch::File& file, const Key& key,
                                 const GuardLimits& limits, const CommitOptions& options, Form form = Form::primary);

// Unpacks `source`, whose bytes are the blob `artifact` that `holder` holds, and commits the tree. An artifact of a
// failed task is refused as above.
Result<Admission> commit_unpacked(EntryStore& store, EntryIntake& holder, const Codec& codec, ByteSource& source,
                                  const Key& key, const Digest& artifact, const CommitOptions& options);

// The EntryWriter of a pull: stages what a remote sends; finish() checks and commits it. One owner, one thread.
class IncomingEntry final : public EntryWriter {
 public:
  IncomingEntry(EntryStore& store, Scratch& scratch, Key key, const GuardLimits& limits, Form form = Form::primary);

  Result<ByteSink*> artifact(std::optional<uint64_t> size) override;
  Result<bool> has_blob(const Digest& digest) override;
  Result<ByteSink*> blob(const Digest& digest) override;
  Status tree(ManifestBuilder tree, const ManifestHeader& header) override;

  // After the remote said it is complete.
  Result<Admission> finish(const std::string& origin);
  [[nodiscard]] uint64_t bytes() const;

 private:
  Status end_blob();

  EntryStore& store_;
  Scratch& scratch_;
  const Key key_;
  const GuardLimits limits_;
  const Form form_;
  std::unique_ptr<Scratch::File> artifact_;
  std::unique_ptr<EntryIntake> intake_;
  std::optional<Digest> expected_;  // of the blob that is coming in
  std::optional<ManifestBuilder> tree_;
  ManifestHeader header_;
  uint64_t blob_bytes_ = 0;
};

}  // namespace hitfs
