#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fs/filesystem.h"
#include "store/layout.h"
#include "store/manifest.h"
#include "store/store_reader.h"

namespace hitfs::fs {

// One number of a committed entry, resolved. A value; keeps the manifest mapped.
struct CommittedNode {
  Entry entry;
  std::shared_ptr<const MappedManifest> manifest;
  uint32_t position = 0;

  [[nodiscard]] Number number() const { return entry.id + position; }
  [[nodiscard]] ManifestRecord record() const { return manifest->view().at(position); }
};

// The store as a mount shows it: entries of one scope and the layout's namespace. Entries without a tree (artifacts,
// unknown formats) are not shown. Safe from several threads.
class Committed {
 public:
  Committed(StoreReader& reader, const Layout& layout, std::string scope)
      : reader_(reader), layout_(layout), scope_(std::move(scope)) {}

  // The entry that a top-level name shows; nothing when there is none or the name is of another class.
  [[nodiscard]] Result<std::optional<Entry>> find(std::string_view name) const;
  [[nodiscard]] std::optional<Key> key_of(std::string_view name) const;

  [[nodiscard]] Result<CommittedNode> node(Number number) const;
  [[nodiscard]] Result<CommittedNode> top(const Entry& entry) const;
  [[nodiscard]] static std::optional<CommittedNode> child(const CommittedNode& directory, std::string_view name);
  // Without what this mount changed. The top shows when the entry came here; inside, times are the source's.
  [[nodiscard]] static Attributes attributes(const CommittedNode& node);

  // Bytes of a file; short only at its end.
  [[nodiscard]] Result<size_t> read(const CommittedNode& node, std::span<std::byte> into, uint64_t offset) const;

  [[nodiscard]] Result<size_t> read_blob(const Digest& blob, std::span<std::byte> into, uint64_t offset) const {
    return reader_.read(blob, into, offset);
  }

  // Entries to show after the one of the name `after`, at most `limit` are looked at; `last` is the last name looked
  // at, "" at the end.
  struct Page {
    std::vector<Entry> entries;
    std::string last;
  };
  [[nodiscard]] Result<Page> list(const std::string& after, size_t limit) const;
  // The names of entries that are here as an artifact only, most recently used first.
  [[nodiscard]] Result<std::vector<std::string>> packed() const;
  // Of all namespaces and scopes, oldest first.
  [[nodiscard]] Result<std::vector<Entry>> retired() const { return reader_.retired(); }
  // The entry that `number` belongs to, also when it is retired or its manifest is damaged.
  [[nodiscard]] Result<Entry> entry_at(Number number) const { return reader_.containing(number); }

 private:
  StoreReader& reader_;
  const Layout& layout_;
  std::string scope_;
};

}  // namespace hitfs::fs
