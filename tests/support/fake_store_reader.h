#pragma once

#include <filesystem>
#include <fstream>
#include <map>

#include "store/base/guarded.h"
#include "store/base/io.h"
#include "store/store_reader.h"

namespace hitfs::testing {

// Entries in memory, their artifacts in one file each, behind some bytes of others as in a pack. Safe from several
// threads.
class FakeStoreReader final : public StoreReader {
 public:
  static constexpr uint64_t kOffset = 123;

  explicit FakeStoreReader(std::filesystem::path folder) : folder_(std::move(folder)) {}

  Entry put(const Key& key, std::string_view artifact, int exit_code = 0) {
    auto digest = Digest::of(io::as_bytes(artifact));
    std::ofstream(file_of(digest)) << std::string(kOffset, 'p') << artifact;
    return add(key, digest, exit_code);
  }
  // A tree whose wire form is not here.
  Entry put_tree(const Key& key) { return add(key, std::nullopt, 0); }
  [[nodiscard]] std::filesystem::path file_of(const Digest& digest) const { return folder_ / digest.hex(); }

  Result<Entry> find(const Key& key) override {
    auto entries = entries_.lock();
    auto found = entries->find(key);
    if (found == entries->end()) return Error{Code::not_found, "no entry"};
    return found->second;
  }
  Result<Entry> containing(uint64_t) override { return Error{Code::not_found, "no entry"}; }
  Result<std::vector<Entry>> list(const std::string&, const std::string&, const std::string&, size_t) override {
    return std::vector<Entry>();
  }
  Result<std::shared_ptr<const MappedManifest>> manifest(uint64_t) override {
    return Error{Code::not_found, "no manifest"};
  }
  Result<size_t> read(const Digest&, std::span<std::byte>, uint64_t) override {
    return Error{Code::not_found, "no blob"};
  }
  Result<Location> locate(const Digest& blob) override {
    auto file = io::open_read(file_of(blob));
    if (!file) return std::move(file).error();
    return Location{*std::move(file), kOffset};
  }

 private:
  Entry add(const Key& key, std::optional<Digest> artifact, int exit_code) {
    auto entries = entries_.lock();
    Entry entry;
    entry.id = ++last_id_;
    entry.key = key;
    entry.artifact = artifact;
    entry.exit_code = exit_code;
    (*entries)[key] = entry;
    return entry;
  }

  const std::filesystem::path folder_;
  uint64_t last_id_ = 1000;
  Guarded<std::map<Key, Entry>> entries_;
};

}  // namespace hitfs::testing
