#include "sync/listener/late_store_reader.h"

#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};

}  // namespace

Result<std::shared_ptr<StoreReader>> LateStoreReader::reader() {
  if (auto state = state_.lock(); state->reader) return state->reader;
  auto opened = StoreReader::open(paths_);
  auto state = state_.lock();
  if (opened && !state->reader) state->reader = *std::move(opened);
  if (state->reader) return state->reader;
  const auto& error = opened.error();
  if (error.code != Code::not_found && error.message != state->last_error) {
    kLog.error("store not readable, every lookup is a miss: {}", error.message);
    state->last_error = error.message;
  }
  return Error{Code::not_found, error.message};
}

Result<Entry> LateStoreReader::find(const Key& key) {
  auto store = reader();
  return store ? (*store)->find(key) : std::move(store).error();
}

Result<Entry> LateStoreReader::containing(uint64_t number) {
  auto store = reader();
  return store ? (*store)->containing(number) : std::move(store).error();
}

Result<std::vector<Entry>> LateStoreReader::list(const std::string& scope, const std::string& space,
                                                 const std::string& after, size_t limit) {
  auto store = reader();
  return store ? (*store)->list(scope, space, after, limit) : std::move(store).error();
}

Result<std::shared_ptr<const MappedManifest>> LateStoreReader::manifest(uint64_t entry_id) {
  auto store = reader();
  return store ? (*store)->manifest(entry_id) : std::move(store).error();
}

Result<size_t> LateStoreReader::read(const Digest& blob, std::span<std::byte> into, uint64_t offset) {
  auto store = reader();
  return store ? (*store)->read(blob, into, offset) : std::move(store).error();
}

Result<StoreReader::Location> LateStoreReader::locate(const Digest& blob) {
  auto store = reader();
  return store ? (*store)->locate(blob) : std::move(store).error();
}

}  // namespace hitfs
