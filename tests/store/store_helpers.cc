#include "tests/store/store_helpers.h"

#include <cstdlib>
#include <set>
#include <variant>

#include "store/base/io.h"
#include "store/blobs/pack.h"
#include "store/index/blob_table.h"
#include "store/index/index_rows.h"
#include "store/index/sqlite.h"

namespace hitfs::testing {

FastTempDir::FastTempDir() {
  constexpr uint64_t kEnough = 256 << 20;
  std::error_code failure;
  auto space = std::filesystem::space("/dev/shm", failure);
  const char* before = std::getenv("TMPDIR");
  if (failure || space.available < kEnough || before != nullptr) {
    dir_ = std::make_unique<TempDir>();
    return;
  }
  ::setenv("TMPDIR", "/dev/shm", 1);
  dir_ = std::make_unique<TempDir>();
  ::unsetenv("TMPDIR");
}

Result<Digest> put_blob(EntryIntake& intake, std::string_view bytes) {
  auto sink = intake.begin_blob(bytes.size());
  if (!sink) return std::move(sink).error();
  // In pieces, as bytes from a network come.
  constexpr size_t kPiece = 50'000;
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    if (auto written = (*sink)->write(io::as_bytes(bytes.substr(at, kPiece))); !written) {
      return std::move(written).error();
    }
  }
  return intake.end_blob();
}

Result<Committed> put_tree(EntryStore& store, const Key& key, const Files& files, const CommitOptions& options) {
  auto intake = store.begin();
  ManifestBuilder tree;
  tree.root_directory(0755, 1000);
  for (const auto& [path, contents] : files) {
    ManifestBuilder::Node parent = 0;
    std::string rest = path;
    for (auto slash = rest.find('/'); slash != std::string::npos; slash = rest.find('/')) {
      auto name = rest.substr(0, slash);
      rest = rest.substr(slash + 1);
      if (auto known = tree.find(parent, name)) {
        parent = *known;
        continue;
      }
      auto made = tree.add_directory(parent, name, 0755, 1000);
      if (!made) return std::move(made).error();
      parent = *made;
    }
    auto digest = put_blob(*intake, contents);
    if (!digest) return std::move(digest).error();
    auto added = tree.add_file(parent, rest, 0644, 2000, digest->size, *digest);
    if (!added) return std::move(added).error();
  }
  ManifestHeader header;
  header.key = key;
  header.kind = EntryKind::directory;
  return intake->commit(tree, header, options);
}

Result<Committed> put_artifact(EntryStore& store, const Key& key, std::string_view bytes,
                               const CommitOptions& options) {
  auto intake = store.begin();
  auto digest = put_blob(*intake, bytes);
  if (!digest) return std::move(digest).error();
  ManifestHeader header;
  header.key = key;
  header.kind = EntryKind::artifact;
  header.artifact = *digest;
  return intake->commit_artifact(header, options);
}

Result<std::string> read_blob(StoreReader& reader, const Digest& digest) {
  std::string bytes(digest.size, '\0');
  size_t at = 0;
  while (at < bytes.size()) {
    auto into = std::as_writable_bytes(std::span(bytes)).subspan(at, std::min<size_t>(bytes.size() - at, 100'000));
    auto got = reader.read(digest, into, at);
    if (!got) return std::move(got).error();
    if (*got == 0) return Error{Code::corrupt, "short"};
    at += *got;
  }
  return bytes;
}

Result<Files> read_tree(StoreReader& reader, const Key& key) {
  auto entry = reader.find(key);
  if (!entry) return std::move(entry).error();
  auto manifest = reader.manifest(entry->id);
  if (!manifest) return std::move(manifest).error();
  const auto& view = (*manifest)->view();
  Files files;
  for (uint32_t position = 0; position < view.size(); ++position) {
    auto record = view.at(position);
    if (record.type != FileType::file) continue;
    auto bytes = read_blob(reader, std::get<Digest>(record.content));
    if (!bytes) return std::move(bytes).error();
    files[view.path(position)] = *bytes;
  }
  return files;
}

namespace {

// The check of one store; collects findings.
class Check {
 public:
  explicit Check(const StorePaths& paths) : paths_(paths) {}

  std::vector<std::string> run() {
    auto database = sqlite::Database::open(paths_.index(), sqlite::Access::read_only, Milliseconds(1000));
    if (!database) return {"index: " + database.error().message};
    database_ = std::move(*database);
    check_file();
    read_entries();
    read_blobs();
    read_packs();
    check_counters();
    check_no_strays();
    return findings_;
  }

 private:
  template <typename Row>
  void each(std::string_view sql, Row row) {
    auto query = database_->query(sql);
    while (true) {
      auto more = query.next();
      if (!more) return found(std::string(sql) + ": " + more.error().message);
      if (!*more) return;
      row(query);
    }
  }
  void found(std::string finding) { findings_.push_back(std::move(finding)); }

  void check_file() {
    each("PRAGMA integrity_check", [&](const sqlite::Query& query) {
      if (query.text(0) != "ok") found("integrity: " + query.text(0));
    });
    each("SELECT count(*) FROM pushes WHERE entry_id NOT IN (SELECT id FROM entries WHERE state = 0)",
         [&](const sqlite::Query& query) {
           if (query.integer(0) != 0) found("pushes of entries that are gone");
         });
  }

  void read_entries() {
    each("SELECT " + std::string(kEntryColumns) + " FROM entries ORDER BY id", [&](const sqlite::Query& query) {
      auto row = entry_row(query);
      auto name = "entry " + std::to_string(row.entry.id);
      if (row.entry.id < numbers_end_) found(name + " overlaps the one before");
      numbers_end_ = row.entry.id + row.entry.span;
      (row.entry.retired ? counters_.retired_entries : counters_.entries) += 1;
      counters_.files += 1;
      counters_.bytes += row.manifest_bytes;
      files_.insert(paths_.manifest(row.entry.id).string());
      auto manifest = MappedManifest::open(paths_.manifest(row.entry.id).string());
      if (!manifest) return found(name + ": " + manifest.error().message);
      auto header = (*manifest)->view().header();
      if (header.entry_id != row.entry.id || header.key != row.entry.key) found(name + ": another one's manifest");
      if ((*manifest)->view().bytes().size() != row.manifest_bytes) found(name + ": wrong manifest size");
      if (std::max<uint32_t>(1, (*manifest)->view().size()) != row.entry.span) found(name + ": wrong span");
      for (const auto& digest : blobs_of((*manifest)->view())) ++refs_[digest];
      if (row.derived_in && row.entry.artifact) ++refs_[*row.entry.artifact];
    });
  }

  void read_blobs() {
    each("SELECT " + std::string(kBlobColumns) + " FROM blobs", [&](const sqlite::Query& query) {
      auto row = blob_row(query);
      auto name = "blob " + row.digest.text();
      counters_.blobs += 1;
      if (refs_[row.digest] != row.refs) {
        found(name + " has refs " + std::to_string(row.refs) + " instead of " + std::to_string(refs_[row.digest]));
      }
      if (row.refs == 0) found(name + " is not referred to");
      refs_.erase(row.digest);
      auto path = row.place.pack != 0 ? paths_.pack(row.place.pack) : paths_.blob(row.digest.hex());
      if (row.place.pack != 0) {
        ++live_[row.place.pack];
      } else {
        counters_.files += 1;
        counters_.bytes += row.digest.size;
        files_.insert(path.string());
      }
      auto bytes = io::read_file(path, 1 << 30);
      if (!bytes) return found(name + ": " + bytes.error().message);
      if (row.place.offset + row.digest.size > bytes->size()) return found(name + ": outside of its file");
      auto own = std::string_view(*bytes).substr(row.place.offset, row.digest.size);
      if (Digest::of(io::as_bytes(own)) != row.digest) found(name + ": wrong bytes");
    });
    for (const auto& [digest, count] : refs_) found("blob " + digest.text() + " is needed and not here");
  }

  void read_packs() {
    each("SELECT id, bytes, live FROM packs", [&](const sqlite::Query& query) {
      auto id = query.unsigned_integer(0);
      auto path = paths_.pack(id);
      counters_.files += 1;
      counters_.bytes += query.unsigned_integer(1);
      files_.insert(path.string());
      if (live_[id] != query.unsigned_integer(2)) found("pack " + std::to_string(id) + " counts wrongly");
      std::error_code failure;
      if (std::filesystem::file_size(path, failure) != query.unsigned_integer(1)) {
        found("pack " + std::to_string(id) + " has another size");
      }
      auto table = read_pack_table(path);
      if (!table) found(table.error().message);
      live_.erase(id);
    });
    for (const auto& [id, live] : live_) found("pack " + std::to_string(id) + " has blobs and no row");
  }

  void check_counters() {
    each("SELECT entries, retired_entries, blobs, bytes, files, pushes, push_bytes, parked FROM counters",
         [&](const sqlite::Query& query) {
           expect("entries", query.unsigned_integer(0), counters_.entries);
           expect("retired_entries", query.unsigned_integer(1), counters_.retired_entries);
           expect("blobs", query.unsigned_integer(2), counters_.blobs);
           expect("bytes", query.unsigned_integer(3), counters_.bytes);
           expect("files", query.unsigned_integer(4), counters_.files);
           counted_ = {query.unsigned_integer(5), query.unsigned_integer(6), query.unsigned_integer(7)};
         });
    each(
        "SELECT coalesce(sum(parked = 0), 0), coalesce(sum(iif(parked, 0, bytes)), 0), coalesce(sum(parked), 0) FROM "
        "pushes",
        [&](const sqlite::Query& query) {
          expect("pushes", counted_[0], query.unsigned_integer(0));
          expect("push_bytes", counted_[1], query.unsigned_integer(1));
          expect("parked", counted_[2], query.unsigned_integer(2));
        });
  }

  void expect(const std::string& name, uint64_t counted, uint64_t right) {
    if (counted == right) return;
    found("counter " + name + " says " + std::to_string(counted) + " instead of " + std::to_string(right));
  }

  void check_no_strays() {
    for (const auto& folder : {paths_.packs(), paths_.cas(), paths_.manifests(), paths_.intakes()}) {
      std::error_code failure;
      for (const auto& item : std::filesystem::recursive_directory_iterator(folder, failure)) {
        if (item.is_regular_file() && !files_.contains(item.path().string())) found("stray " + item.path().string());
      }
    }
  }

  const StorePaths& paths_;
  std::unique_ptr<sqlite::Database> database_;
  std::vector<std::string> findings_;
  Counters counters_;
  std::vector<uint64_t> counted_;
  uint64_t numbers_end_ = 0;
  std::map<Digest, uint64_t> refs_;
  std::map<uint64_t, uint64_t> live_;
  std::set<std::string> files_;
};

}  // namespace

std::vector<std::string> check_store(const StorePaths& paths) { return Check(paths).run(); }

}  // namespace hitfs::testing
