#pragma once

#include "store/base/guarded.h"
#include "store/store_reader.h"

namespace hitfs {

// A StoreReader for a store that may not be there yet: the daemon makes it, and a front may be up first. Until it can
// be opened every question is `not_found`: a miss. Safe from several threads.
class LateStoreReader final : public StoreReader {
 public:
  explicit LateStoreReader(StorePaths paths) : paths_(std::move(paths)) {}

  Result<Entry> find(const Key& key) override;
  Result<Entry> containing(uint64_t number) override;
  Result<std::vector<Entry>> list(const std::string& scope, const std::string& space, const std::string& after,
                                  size_t limit) override;
  Result<std::shared_ptr<const MappedManifest>> manifest(uint64_t entry_id) override;
  Result<size_t> read(const Digest& blob, std::span<std::byte> into, uint64_t offset) override;
  Result<Location> locate(const Digest& blob) override;

 private:
  struct State {
    std::shared_ptr<StoreReader> reader;
    std::string last_error;  // logged once, not per request
  };
  Result<std::shared_ptr<StoreReader>> reader();

  const StorePaths paths_;
  Guarded<State> state_;
};

}  // namespace hitfs
