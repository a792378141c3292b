#include "store/store_reader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>

#include "store/base/guarded.h"
#include "store/base/io.h"
#include "store/base/lru_cache.h"
#include "store/blobs/blob_store.h"
#include "store/index/blob_table.h"
#include "store/index/index_reader.h"

namespace hitfs {

namespace {

constexpr size_t kManifests = 256;
constexpr size_t kEntries = 512;
constexpr size_t kPlaces = 8192;

// What readers keep in memory is true for as long as these stay as they are.
struct Validity {
  uint64_t index = 0;   // identity of index.db
  uint64_t damage = 0;  // identity of the file that verify rewrites
  bool operator==(const Validity&) const = default;
};

uint64_t identity_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) < 0) return 0;
  return static_cast<uint64_t>(info.st_ino) * 31 + static_cast<uint64_t>(info.st_mtim.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(info.st_mtim.tv_nsec);
}

class DiskStoreReader final : public StoreReader {
 public:
  DiskStoreReader(StorePaths paths, std::string boot_id, std::unique_ptr<IndexReader> index,
                  std::function<void()> progress)
      : paths_(std::move(paths)),
        boot_id_(std::move(boot_id)),
        index_(std::move(index)),
        progress_(std::move(progress)),
        blobs_(paths_) {}

  Result<Entry> find(const Key& key) override;
  Result<Entry> containing(uint64_t number) override;
  Result<std::vector<Entry>> list(const std::string& scope, const std::string& space, const std::string& after,
                                  size_t limit) override;
  Result<std::vector<Entry>> retired() override;
  Result<std::shared_ptr<const MappedManifest>> manifest(uint64_t entry_id) override;
  Result<size_t> read(const Digest& blob, std::span<std::byte> into, uint64_t offset) override;
  Result<Location> locate(const Digest& blob) override;
  void forget_freed() override { blobs_.forget_freed(); }

 private:
  struct KnownPlace {
    Place place;
    bool checked = false;  // the bytes there are those of the digest
  };
  // Everything remembered; dropped as a whole when it may no longer be true.
  struct Memory {
    Validity validity;
    std::map<uint64_t, Entry> entries;  // by first number
    std::deque<uint64_t> entry_order;   // oldest first
    LruCache<uint64_t, std::shared_ptr<const MappedManifest>> manifests{kManifests};
    LruCache<Digest, KnownPlace> places{kPlaces};
    std::optional<Epochs> epochs;
  };

  Validity check_validity();
  Result<bool> trusted(uint64_t epoch);
  Result<Entry> seen(EntryRow row);
  std::optional<Entry> remembered(uint64_t number);
  void remember(const Entry& entry);
  Result<KnownPlace> place_of(const Digest& blob, const Validity& validity, bool fresh);
  Status check(const Digest& blob, const KnownPlace& known, const Validity& validity);
  template <typename Body>
  auto with_place(const Digest& blob, Body body) -> decltype(body(std::declval<Place>()));

  const StorePaths paths_;
  const std::string boot_id_;
  const std::unique_ptr<IndexReader> index_;
  const std::function<void()> progress_;
  BlobStore blobs_;
  Guarded<Memory> memory_;
};

Validity DiskStoreReader::check_validity() {
  Validity now{index_->identity(), identity_of(paths_.damage())};
  auto memory = memory_.lock();
  if (memory->validity == now) return now;
  *memory = Memory{};
  memory->validity = now;
  blobs_.forget_all();
  return now;
}

Result<bool> DiskStoreReader::trusted(uint64_t epoch) {
  if (epoch == kDurable) return true;
  check_validity();  // the epochs of another index say nothing
  if (auto memory = memory_.lock(); memory->epochs && memory->epochs->trusted(epoch, boot_id_)) return true;
  // What was suspect may have been checked since; what was trusted stays so.
  auto epochs = index_->epochs();
  if (!epochs) return std::move(epochs).error();
  bool known = epochs->trusted(epoch, boot_id_);
  memory_.lock()->epochs = *std::move(epochs);
  return known;
}

// A row as the callers see it: without an artifact that may be broken.
Result<Entry> DiskStoreReader::seen(EntryRow row) {
  if (row.derived_in) {
    auto sound = trusted(*row.derived_in);
    if (!sound) return std::move(sound).error();
    if (!*sound) row.entry.artifact.reset();
  }
  return std::move(row.entry);
}

Result<Entry> DiskStoreReader::find(const Key& key) {
  auto row = index_->find(key);
  if (!row) return in_context("find " + key.text(), std::move(row).error());
  Error miss{Code::not_found, key.text() + " is not in the store"};
  if (!*row) return miss;
  auto known = trusted((*row)->epoch);
  if (!known) return std::move(known).error();
  if (!*known) return miss;
  if ((*row)->entry.key != key)
    return Error{Code::corrupt, "find " + key.text() + ": the index leads to another entry"};
  return seen(**std::move(row));
}

std::optional<Entry> DiskStoreReader::remembered(uint64_t number) {
  auto memory = memory_.lock();
  auto after = memory->entries.upper_bound(number);
  if (after == memory->entries.begin()) return std::nullopt;
  const auto& entry = std::prev(after)->second;
  if (number - entry.id >= entry.span) return std::nullopt;
  return entry;
}

void DiskStoreReader::remember(const Entry& entry) {
  auto memory = memory_.lock();
  if (!memory->entries.insert_or_assign(entry.id, entry).second) return;
  memory->entry_order.push_back(entry.id);
  if (memory->entry_order.size() <= kEntries) return;
  memory->entries.erase(memory->entry_order.front());
  memory->entry_order.pop_front();
}

Result<Entry> DiskStoreReader::containing(uint64_t number) {
  check_validity();
  if (auto entry = remembered(number)) return *std::move(entry);
  auto row = index_->at_or_before(number);
  if (!row) return in_context("number " + std::to_string(number), std::move(row).error());
  if (!*row || number - (*row)->entry.id >= (*row)->entry.span) {
    return Error{Code::not_found, "no entry has number " + std::to_string(number)};
  }
  auto entry = seen(**std::move(row));
  if (entry) remember(*entry);
  return entry;
}

Result<std::vector<Entry>> DiskStoreReader::list(const std::string& scope, const std::string& space,
                                                 const std::string& after, size_t limit) {
  std::vector<Entry> entries;
  std::string last = after;
  while (entries.size() < limit) {
    size_t wanted = limit - entries.size();
    auto rows = index_->list(scope, space, last, wanted);
    if (!rows) return std::move(rows).error();
    for (auto& row : *rows) {
      last = row.entry.key.name;
      auto known = trusted(row.epoch);
      if (!known) return std::move(known).error();
      if (!*known) continue;
      auto entry = seen(std::move(row));
      if (!entry) return std::move(entry).error();
      entries.push_back(*std::move(entry));
    }
    if (rows->size() < wanted) break;
  }
  return entries;
}

Result<std::vector<Entry>> DiskStoreReader::retired() {
  auto rows = index_->retired();
  if (!rows) return in_context("retired entries", std::move(rows).error());
  std::vector<Entry> entries;
  for (auto& row : *rows) entries.push_back(std::move(row.entry));
  std::sort(entries.begin(), entries.end(), [](const Entry& one, const Entry& other) { return one.id < other.id; });
  return entries;
}

Result<std::shared_ptr<const MappedManifest>> DiskStoreReader::manifest(uint64_t entry_id) {
  check_validity();
  if (auto known = memory_.lock()->manifests.get(entry_id)) return *std::move(known);
  auto opened = MappedManifest::open(paths_.manifest(entry_id).string());
  if (opened) memory_.lock()->manifests.put(entry_id, *opened);
  return opened;
}

Result<DiskStoreReader::KnownPlace> DiskStoreReader::place_of(const Digest& blob, const Validity& validity,
                                                              bool fresh) {
  if (!fresh) {
    if (auto known = memory_.lock()->places.get(blob)) return *known;
  }
  auto row = index_->blob(blob);
  if (!row) return in_context("blob " + blob.text(), std::move(row).error());
  if (!*row) return Error{Code::not_found, "blob " + blob.text() + " is not in the store"};
  if ((*row)->epoch == kDamaged) return Error{Code::corrupt, "blob " + blob.text() + " is damaged"};
  KnownPlace known{(*row)->place};
  // Not when it was read before something was found damaged.
  if (auto memory = memory_.lock(); memory->validity == validity) memory->places.put(blob, known);
  return known;
}

// A disk may give other bytes back than it got, and a damaged index may lead to another place.
Status DiskStoreReader::check(const Digest& blob, const KnownPlace& known, const Validity& validity) {
  if (known.checked) return Ok{};
  auto right = blobs_.has_right_bytes(blob, known.place, progress_);
  if (!right) return std::move(right).error();
  if (!*right) return Error{Code::corrupt, "blob " + blob.text() + " has other bytes on the disk"};
  if (auto memory = memory_.lock(); memory->validity == validity) memory->places.put(blob, {known.place, true});
  return Ok{};
}

// Calls `body` with where the blob lies; once more when that turns out to be old.
template <typename Body>
auto DiskStoreReader::with_place(const Digest& blob, Body body) -> decltype(body(std::declval<Place>())) {
  auto validity = check_validity();
  auto use = [&](const KnownPlace& known) -> decltype(body(known.place)) {
    if (auto checked = check(blob, known, validity); !checked) return std::move(checked).error();
    return body(known.place);
  };
  auto known = place_of(blob, validity, false);
  if (!known) return std::move(known).error();
  auto result = use(*known);
  if (result) return result;
  blobs_.forget(blob, known->place);
  known = place_of(blob, validity, true);
  if (!known) return std::move(known).error();
  result = use(*known);
  if (!result && result.error().code == Code::not_found) {
    return Error{Code::corrupt, "blob " + blob.text() + " has lost its file"};
  }
  return result;
}

Result<size_t> DiskStoreReader::read(const Digest& blob, std::span<std::byte> into, uint64_t offset) {
  if (blob.size == 0 || offset >= blob.size) return size_t{0};
  return with_place(blob, [&](const Place& place) { return blobs_.read(blob, place, into, offset); });
}

Result<StoreReader::Location> DiskStoreReader::locate(const Digest& blob) {
  if (blob.size == 0) {
    auto nothing = io::open_read("/dev/null");
    if (!nothing) return std::move(nothing).error();
    return Location{*std::move(nothing), 0};
  }
  return with_place(blob, [&](const Place& place) -> Result<Location> {
    auto file = blobs_.open(blob, place);
    if (!file) return std::move(file).error();
    UniqueFd own(::fcntl((*file)->get(), F_DUPFD_CLOEXEC, 0));
    if (!own) return system_error("duplicate a descriptor", errno);
    return Location{std::move(own), place.offset};
  });
}

}  // namespace

Result<std::unique_ptr<StoreReader>> StoreReader::open(const StorePaths& paths, std::string boot_id,
                                                       std::function<void()> progress) {
  if (boot_id.empty()) boot_id = current_boot_id();
  std::error_code ignored;
  if (!std::filesystem::exists(paths.index(), ignored)) {
    return Error{Code::not_found, "there is no store in " + paths.root.string() + " (`hitfs start` makes one)"};
  }
  auto index = IndexReader::open(paths.index());
  if (!index) return in_context("store " + paths.root.string(), std::move(index).error());
  return std::unique_ptr<StoreReader>(
      std::make_unique<DiskStoreReader>(paths, std::move(boot_id), *std::move(index), std::move(progress)));
}

}  // namespace hitfs
