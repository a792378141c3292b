#include "store/upkeep/index_rebuild.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/blobs/pack.h"
#include "store/index/blob_table.h"
#include "store/index/push_table.h"
#include "store/manifest.h"
#include "store/push_queue.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};
constexpr size_t kTogether = 512;  // packs, files or manifests in one transaction
// How far back the access log is asked for what happened to an entry.
constexpr size_t kHistory = 1000;

// Calls `body(name)` for each name in a folder, until one fails. A folder that cannot be read to its end is an error,
// so that nothing is taken for lost that is only out of reach; one that is missing is empty.
template <typename Body>
Status each_name(const std::filesystem::path& folder, Body body) {
  std::error_code failure;
  std::filesystem::directory_iterator item(folder, failure);
  for (; !failure && item != std::filesystem::directory_iterator(); item.increment(failure)) {
    if (auto done = body(item->path().filename().string()); !done) return done;
  }
  if (failure && failure != std::errc::no_such_file_or_directory) {
    return system_error("list " + folder.string(), failure.value());
  }
  return Ok{};
}

// The names in a folder that are numbers, in order.
Result<std::vector<uint64_t>> numbers_in(const std::filesystem::path& folder) {
  std::vector<uint64_t> numbers;
  auto listed = each_name(folder, [&](const std::string& name) -> Status {
    uint64_t number = 0;
    auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
    if (parsed.ec == std::errc{} && parsed.ptr == name.data() + name.size()) numbers.push_back(number);
    return Ok{};
  });
  if (!listed) return std::move(listed).error();
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

class Rebuild {
 public:
  Rebuild(const StorePaths& paths, Index& index, AccessLog& log, int64_t now_ms)
      : paths_(paths), index_(index), log_(log), now_ms_(now_ms) {}
  Result<RebuildReport> run();

 private:
  Status begin();
  Status add_packs();
  Status add_files();
  Status add_entries();
  Status finish();

  Status add_pack(uint64_t pack);
  Status add_entry(uint64_t id);
  Result<bool> insert(const ManifestView& manifest);
  Status retire_older(const Key& key);
  // A file that is no use: it goes when it is known to be damaged, and stays when it could not be read.
  Status lose(TrashItem item, const Error& error);
  Status begin_transaction();
  Status commit();
  Status end_of_one() { return ++changes_ % kTogether == 0 ? next_transaction() : Status(Ok{}); }
  Status next_transaction();

  const StorePaths& paths_;
  Index& index_;
  AccessLog& log_;
  const int64_t now_ms_;
  uint64_t epoch_ = 0;
  size_t changes_ = 0;
  std::optional<sqlite::Transaction> transaction_;
  RebuildReport report_;
};

Result<RebuildReport> Rebuild::run() {
  for (auto step :
       {&Rebuild::begin, &Rebuild::add_packs, &Rebuild::add_files, &Rebuild::add_entries, &Rebuild::finish}) {
    if (auto done = (this->*step)(); !done) return std::move(done).error();
  }
  return report_;
}

Status Rebuild::begin() {
  if (auto set = index_.set_durable(false); !set) return set;
  if (auto begun = begin_transaction(); !begun) return begun;
  auto epoch = index_.begin_suspect_epoch();
  if (!epoch) return std::move(epoch).error();
  epoch_ = *epoch;
  return Ok{};
}

Status Rebuild::begin_transaction() {
  auto begun = sqlite::Transaction::begin(index_.database());
  if (!begun) return std::move(begun).error();
  transaction_.emplace(*std::move(begun));
  return Ok{};
}

Status Rebuild::commit() {
  if (auto saved = index_.save_counters(); !saved) return saved;
  if (auto done = transaction_->commit("index rebuild"); !done) return done;
  transaction_.reset();
  // Whoever opens the store reads it from the table.
  [[maybe_unused]] auto trash = index_.take_trash();
  return Ok{};
}

Status Rebuild::next_transaction() {
  if (auto done = commit(); !done) return done;
  return begin_transaction();
}

Status Rebuild::lose(TrashItem item, const Error& error) {
  ++report_.lost;
  kLog.warn("index rebuild lost=\"{}\"", error.message);
  return error.code == Code::corrupt ? index_.add_trash(item) : Status(Ok{});
}

Status Rebuild::add_packs() {
  auto packs = numbers_in(paths_.packs());
  if (!packs) return std::move(packs).error();
  for (uint64_t pack : *packs) {
    if (auto added = add_pack(pack); !added) return added;
    if (auto done = end_of_one(); !done) return done;
  }
  return Ok{};
}

Status Rebuild::add_pack(uint64_t pack) {
  auto table = read_pack_table(paths_.pack(pack));
  if (!table) return lose({.kind = TrashItem::Kind::pack, .number = pack, .digest = {}}, table.error());
  std::error_code failure;
  auto size = std::filesystem::file_size(paths_.pack(pack), failure);
  if (failure) return system_error("stat " + paths_.pack(pack).string(), failure.value());
  BlobTable blobs(index_);
  if (auto added = blobs.add_pack(pack, size); !added) return added;
  for (const auto& blob : *table) {
    if (auto added = blobs.add_found(blob.digest, {pack, blob.offset}, epoch_); !added) return added;
  }
  return blobs.drop_pack_if_unused(pack);
}

Status Rebuild::add_files() {
  return each_name(paths_.cas(), [this](const std::string& shard) {
    return each_name(paths_.cas() / shard, [this](const std::string& name) -> Status {
      auto digest = Digest::parse(name, 0);
      if (!digest) return Ok{};
      std::error_code failure;
      digest->size = std::filesystem::file_size(paths_.blob(name), failure);
      if (failure) return Ok{};
      if (auto added = BlobTable(index_).add_found(*digest, {}, epoch_); !added) return added;
      return end_of_one();
    });
  });
}

Status Rebuild::add_entries() {
  auto folders = numbers_in(paths_.manifests());
  if (!folders) return std::move(folders).error();
  for (uint64_t folder : *folders) {
    auto ids = numbers_in(paths_.manifests() / std::to_string(folder));
    if (!ids) return std::move(ids).error();
    for (uint64_t id : *ids) {
      if (auto added = add_entry(id); !added) return added;
      if (auto done = end_of_one(); !done) return done;
    }
  }
  return Ok{};
}

Status Rebuild::add_entry(uint64_t id) {
  TrashItem item{.kind = TrashItem::Kind::manifest, .number = id, .digest = {}};
  auto path = paths_.manifest(id).string();
  auto manifest = MappedManifest::open(path);
  if (!manifest) return lose(item, manifest.error());
  const auto& view = (*manifest)->view();
  auto header = view.header();
  bool whole = header.entry_id == id && !view.is_draft() && (view.size() > 0 || header.artifact);
  if (!whole) return lose(item, {Code::corrupt, path + " is of another entry"});
  auto inserted = insert(view);
  if (!inserted) return std::move(inserted).error();
  if (!*inserted) return lose(item, {Code::corrupt, header.key.text() + " lacks a blob"});
  return Ok{};
}

// What the access log still knows of an entry.
struct Past {
  std::string origin = "unknown";
  bool waits_for_push = false;
};

Past past_of(AccessLog& log, const Key& key) {
  auto records = log.history(key, kHistory);
  if (!records) return {};
  bool pushed = false;
  for (const auto& record : *records) {
    if (record.kind == AccessKind::pushed) pushed = true;
    if (record.kind == AccessKind::stored) return {"local", !pushed};
    if (record.kind == AccessKind::pulled) return {record.detail, false};
  }
  return {};
}

// False, with nothing changed, when a blob is missing.
Result<bool> Rebuild::insert(const ManifestView& manifest) {
  auto part = sqlite::Savepoint::begin(index_.database());
  if (!part) return std::move(part).error();
  for (const auto& digest : blobs_of(manifest)) {
    auto referred = BlobTable(index_).refer_found(digest);
    if (!referred || !*referred) return referred;
  }
  auto past = past_of(log_, manifest.header().key);
  auto row = row_for(manifest, past.origin);
  row.epoch = epoch_;
  if (auto retired = retire_older(row.entry.key); !retired) return std::move(retired).error();
  if (auto done = index_.insert(row); !done) return std::move(done).error();
  if (past.waits_for_push) {
    auto queued = PushTable(index_).add(row.entry, {std::string(kUnknownRemote)}, now_ms_);
    if (!queued) return std::move(queued).error();
  }
  if (auto kept = part->keep(); !kept) return std::move(kept).error();
  return true;
}

// Entries come in the order in which they were made: the later one replaced the earlier one.
Status Rebuild::retire_older(const Key& key) {
  auto older = index_.find_visible(key);
  if (!older) return std::move(older).error();
  if (!*older) return Ok{};
  if (auto removed = PushTable(index_).remove((*older)->entry.id); !removed) return std::move(removed).error();
  (*older)->frees_bytes = (*older)->manifest_bytes;
  (*older)->frees_files = 1;
  return index_.mark_retired(**older);
}

Status Rebuild::finish() {
  if (auto done = commit(); !done) return done;
  auto folder = io::open_read(paths_.root);
  if (!folder) return std::move(folder).error();
  if (auto synced = io::sync_filesystem(folder->get(), "index rebuild"); !synced) return synced;
  // The last rows, and all before them, are on disk with this commit.
  if (auto set = index_.set_durable(true); !set) return set;
  if (auto begun = begin_transaction(); !begun) return begun;
  const auto& counters = index_.counters();
  report_.entries = counters.entries;
  report_.blobs = counters.blobs;
  report_.pushes = counters.pushes;
  return commit();
}

}  // namespace

Result<RebuildReport> rebuild_index(const StorePaths& paths, Index& index, AccessLog& log, int64_t now_ms) {
  return Rebuild(paths, index, log, now_ms).run();
}

}  // namespace hitfs
