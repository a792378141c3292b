#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/base/guarded.h"
#include "store/manifest.h"
#include "store/store_paths.h"
#include "store/store_reader.h"

namespace hitfs::testing {

// A tree as a test writes it down: path -> contents; "path/" is an empty directory, "path@" a link to the contents. The
// path "" alone is an entry that is one file.
using TreeText = std::map<std::string, std::string>;

// A store in memory behind the StoreReader seam, with what a daemon does to one. Manifests are real files. Safe from
// several threads.
class FakeStore final : public StoreReader {
 public:
  explicit FakeStore(std::filesystem::path folder);

  // Commits a tree and returns its entry; a visible entry of the key is retired (and returned in `retired`).
  Entry commit(const Key& key, const TreeText& tree, std::optional<Entry>* retired = nullptr);
  // With a terminal output.
  Entry commit_with_output(const Key& key, const TreeText& tree, const std::string& output);
  // As the daemon does with a mount's draft: staged files are moved away (as the real one may) or copied. Same bytes as
  // the visible entry: that entry. `not_found` when a staged file is missing.
  Result<Entry> commit_draft(const ManifestView& draft, const std::filesystem::path& staging, bool move,
                             std::optional<Entry>* retired = nullptr);
  void retire(uint64_t entry_id);
  // Frees an entry: its numbers mean nothing any more.
  void release(uint64_t entry_id);
  void damage_blobs();
  // While set, every call fails.
  void break_index(bool broken);
  [[nodiscard]] std::vector<Entry> visible();

  Result<Entry> find(const Key& key) override;
  Result<Entry> containing(uint64_t number) override;
  Result<std::vector<Entry>> list(const std::string& scope, const std::string& space, const std::string& after,
                                  size_t limit) override;
  Result<std::vector<Entry>> retired() override;
  Result<std::shared_ptr<const MappedManifest>> manifest(uint64_t entry_id) override;
  Result<size_t> read(const Digest& blob, std::span<std::byte> into, uint64_t offset) override;
  Result<Location> locate(const Digest& blob) override;

 private:
  struct State {
    std::map<uint64_t, Entry> entries;  // retired ones included
    std::map<Key, uint64_t> visible;
    std::unordered_map<std::string, std::string> blobs;  // by hex
    std::map<uint64_t, std::shared_ptr<const MappedManifest>> manifests;
    uint64_t next_id = 1ull << 32;
    bool broken = false;
  };
  Entry add(State& state, const Key& key, ManifestBuilder& tree, EntryKind kind, std::optional<Entry>* retired,
            const std::optional<Digest>& output = std::nullopt);
  Entry commit(const Key& key, const TreeText& text, std::optional<Entry>* retired, const std::string* output);

  std::filesystem::path folder_;
  Guarded<State> state_;
};

}  // namespace hitfs::testing
