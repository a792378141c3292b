#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/blobs/pack.h"
#include "store/blobs/staged_blob.h"
#include "store/entry_store.h"
#include "store/index/blob_table.h"
#include "store/store_parts.h"
#include "store/upkeep/evictor.h"

namespace hitfs {

// The intake of a store on this disk: files in intakes/ whose names say where they belong, then one Change. Each name
// stays until the commit is on disk, so that whatever a crash leaves is found at the next open.
class Intake final : public EntryIntake {
 public:
  // Both outlive it.
  Intake(StoreParts& parts, Evictor& evictor);
  ~Intake() override;

  Result<bool> has_blob(const Digest& digest) override;
  Result<ByteSink*> begin_blob(std::optional<uint64_t> size) override;
  Result<Digest> end_blob() override;
  Result<Digest> adopt(const std::filesystem::path& file) override;
  Result<Committed> commit(const ManifestBuilder& tree, ManifestHeader header, const CommitOptions& options) override;
  Result<Committed> commit_artifact(ManifestHeader header, const CommitOptions& options) override;
  Result<Committed> commit_draft(const ManifestView& draft, const std::filesystem::path& staging,
                                 const CommitOptions& options) override;

  // EntryStore::attach_artifact.
  Status attach(uint64_t entry_id, const Digest& artifact);

 private:
  // A blob that this intake brought.
  struct Brought {
    Place place;                 // pack 0 for a file of its own
    std::filesystem::path name;  // of that file in intakes/
    bool adopted = false;        // shares its bytes with a file outside of the store
  };
  struct CommitWork;

  [[nodiscard]] std::filesystem::path name_for(std::string_view kind, std::string_view what) const;
  [[nodiscard]] uint64_t left_to_write() const;
  Status check_open() const;
  // Whether the store has a sound copy; holds the digest until this intake ends.
  Result<bool> known(const Digest& digest);
  Result<Digest> keep_small(const Digest& digest, std::span<const std::byte> bytes);
  void keep_file(const Digest& digest, std::filesystem::path name, UniqueFd file, bool adopted);
  Result<Digest> adopt_link(const std::filesystem::path& file, UniqueFd fd);

  Result<uint64_t> number_entry(ManifestHeader& header, size_t records);
  Result<Committed> commit_manifest(std::string manifest, const CommitOptions& options);
  Status require(const std::vector<Digest>& blobs);
  Status write_manifest(CommitWork& work);
  Result<std::optional<Committed>> compare_with_existing(CommitWork& work);
  Status as_durable_as_asked(const CommitWork& work, uint64_t epoch);
  Result<Reservation> reserve(const CommitWork& work);
  Change change_for(CommitWork& work);
  Result<bool> carry_out(CommitWork& work);
  Result<Change::Placing> place(CommitWork& work, Index& index, Change::PlacedBlobs& placed);
  Result<Change::Placing> place_blob(CommitWork& work, Index& index, const Digest& digest, const Brought& brought,
                                     Change::PlacedBlobs& placed);
  Status place_name(CommitWork& work, const std::filesystem::path& from, const std::filesystem::path& to);
  Result<bool> change_rows(CommitWork& work, Index& index);
  Status refer_blobs(CommitWork& work, Index& index);
  Result<CommitResult> insert_entry(CommitWork& work, Index& index);
  void settle(CommitWork& work, bool committed);
  void remove_names();

  StoreParts& parts_;
  Evictor& evictor_;
  const std::string prefix_;
  uint64_t next_part_ = 0;
  uint64_t written_ = 0;         // bytes brought so far
  bool over_ = false;            // committed, or failed to
  bool needs_sync_all_ = false;  // relies on bytes of others that are not flushed yet

  std::unique_ptr<StagedBlob> blob_;
  std::optional<PackWriter> pack_;
  uint64_t pack_id_ = 0;
  std::unordered_map<Digest, Brought> brought_;
  std::set<Digest> held_;
  std::set<Digest> refused_;     // held, but their old bytes were being freed at that moment
  std::vector<UniqueFd> files_;  // brought files still open for a flush; not all of them
  size_t more_files_ = 0;
  std::vector<std::filesystem::path> names_;  // everything of ours in intakes/
};

}  // namespace hitfs
