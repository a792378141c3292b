#include "store/index/blob_table.h"

#include <algorithm>
#include <map>

namespace hitfs {

using sqlite::number;

Result<std::optional<BlobRow>> BlobTable::find(const Digest& digest) {
  static const std::string kSql = "SELECT " + std::string(kBlobColumns) + " FROM blobs WHERE digest = ?1";
  auto query = index_.database().query(kSql, {std::span(digest.hash)});
  auto row = query.next();
  if (!row) return std::move(row).error();
  if (!*row) return std::optional<BlobRow>();
  return std::optional(blob_row(query));
}

bool BlobTable::serves(const std::optional<BlobRow>& row, const Digest& digest, bool has_copy, uint64_t epoch) const {
  if (!row || row->digest.size != digest.size || !index_.trusted(row->epoch)) return false;
  return !has_copy || epoch != kDurable || index_.epochs().is_flushed(row->epoch);
}

Status BlobTable::refer(const Digest& digest, const std::optional<Place>& copy, uint64_t epoch) {
  auto& database = index_.database();
  if (copy) {
    // The common case is a new blob: one statement.
    auto done = database.run(
        "INSERT INTO blobs(digest, size, refs, pack, offset, epoch) VALUES(?1, ?2, 1, ?3, ?4, ?5) "
        "ON CONFLICT DO NOTHING",
        {std::span(digest.hash), number(digest.size), number(copy->pack), number(copy->offset), number(epoch)});
    if (!done) return done;
    if (database.changes() == 1) {
      index_.counters().blobs += 1;
      return enter_place(digest, *copy);
    }
  }
  auto row = find(digest);
  if (!row) return std::move(row).error();
  if (serves(*row, digest, copy.has_value(), epoch)) {
    return database.run("UPDATE blobs SET refs = refs + 1 WHERE digest = ?1", {std::span(digest.hash)});
  }
  if (!*row || !copy) return Error{Code::not_found, "blob " + digest.text() + " is not here"};
  if (auto left = leave_place(**row); !left) return left;
  auto moved = database.run(
      "UPDATE blobs SET refs = refs + 1, size = ?2, pack = ?3, offset = ?4, epoch = ?5 WHERE digest = ?1",
      {std::span(digest.hash), number(digest.size), number(copy->pack), number(copy->offset), number(epoch)});
  if (!moved) return moved;
  if (auto entered = enter_place(digest, *copy); !entered) return entered;
  // A file of its own was replaced under the same name; only another kind of place leaves something behind.
  if ((*row)->place.pack == 0 && copy->pack != 0) {
    return index_.add_trash({.kind = TrashItem::Kind::blob, .number = 0, .digest = digest});
  }
  return (*row)->place.pack == 0 ? Status(Ok{}) : drop_pack_if_unused((*row)->place.pack);
}

Status BlobTable::unrefer(const Digest& digest) {
  return index_.database().run("UPDATE blobs SET refs = refs - 1 WHERE digest = ?1 AND refs > 0",
                               {std::span(digest.hash)});
}

Status BlobTable::add_found(const Digest& digest, const Place& place, uint64_t epoch) {
  auto& database = index_.database();
  auto done = database.run(
      "INSERT INTO blobs(digest, size, refs, pack, offset, epoch) VALUES(?1, ?2, 0, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
      {std::span(digest.hash), number(digest.size), number(place.pack), number(place.offset), number(epoch)});
  if (!done || database.changes() == 0) return done;
  index_.counters().blobs += 1;
  return enter_place(digest, place);
}

Result<bool> BlobTable::refer_found(const Digest& digest) {
  auto done = index_.database().run("UPDATE blobs SET refs = refs + 1 WHERE digest = ?1 AND size = ?2",
                                    {std::span(digest.hash), number(digest.size)});
  if (!done) return std::move(done).error();
  return index_.database().changes() == 1;
}

Status BlobTable::leave_place(const BlobRow& row) {
  if (row.place.pack != 0) {
    return index_.database().run("UPDATE packs SET live = live - 1 WHERE id = ?1", {number(row.place.pack)});
  }
  index_.counters().bytes -= std::min(index_.counters().bytes, row.digest.size);
  index_.counters().files -= std::min<uint64_t>(index_.counters().files, 1);
  return Ok{};
}

Status BlobTable::enter_place(const Digest& digest, const Place& place) {
  if (place.pack != 0) {
    return index_.database().run("UPDATE packs SET live = live + 1 WHERE id = ?1", {number(place.pack)});
  }
  index_.counters().bytes += digest.size;
  index_.counters().files += 1;
  return Ok{};
}

Status BlobTable::add_pack(uint64_t pack, uint64_t bytes) {
  index_.counters().bytes += bytes;
  index_.counters().files += 1;
  return index_.database().run("INSERT INTO packs(id, bytes, live) VALUES(?1, ?2, 0)", {number(pack), number(bytes)});
}

Status BlobTable::drop_pack_if_unused(uint64_t pack) {
  uint64_t bytes = 0;
  {
    auto query =
        index_.database().query("DELETE FROM packs WHERE id = ?1 AND live <= 0 RETURNING bytes", {number(pack)});
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return Ok{};
    bytes = query.unsigned_integer(0);
  }
  index_.counters().bytes -= std::min(index_.counters().bytes, bytes);
  index_.counters().files -= std::min<uint64_t>(index_.counters().files, 1);
  return index_.add_trash({.kind = TrashItem::Kind::pack, .number = pack, .digest = {}});
}

Result<size_t> BlobTable::sweep(BlobHolds& holds, size_t limit) {
  std::vector<BlobRow> rows;
  {
    static const std::string kSql = "SELECT " + std::string(kBlobColumns) + " FROM blobs WHERE refs = 0";
    auto query = index_.database().query(kSql);
    while (rows.size() < limit) {
      auto row = query.next();
      if (!row) return std::move(row).error();
      if (!*row) break;
      auto blob = blob_row(query);
      if (holds.begin_freeing(blob.digest)) rows.push_back(blob);
    }
  }
  for (const auto& row : rows) {
    auto gone = index_.database().run("DELETE FROM blobs WHERE digest = ?1", {std::span(row.digest.hash)});
    if (!gone) return std::move(gone).error();
    index_.counters().blobs -= std::min<uint64_t>(index_.counters().blobs, 1);
    if (auto left = leave_place(row); !left) return std::move(left).error();
    auto dropped = row.place.pack != 0
                       ? drop_pack_if_unused(row.place.pack)
                       : index_.add_trash({.kind = TrashItem::Kind::blob, .number = 0, .digest = row.digest});
    if (!dropped) return std::move(dropped).error();
  }
  return rows.size();
}

Status BlobTable::set_epoch(const Digest& digest, uint64_t epoch) {
  return index_.database().run("UPDATE blobs SET epoch = ?2 WHERE digest = ?1",
                               {std::span(digest.hash), number(epoch)});
}

Result<BlobTable::Room> BlobTable::exclusive(const std::vector<Digest>& blobs) {
  Room room;
  std::map<uint64_t, uint64_t> in_pack;
  for (const auto& digest : blobs) {
    auto row = find(digest);
    if (!row) return std::move(row).error();
    if (!*row || (*row)->refs > 1) continue;
    if ((*row)->place.pack != 0) {
      ++in_pack[(*row)->place.pack];
      continue;
    }
    room.bytes += digest.size;
    room.files += 1;
  }
  // A pack's bytes come back only when all that is in use of it goes.
  for (auto [pack, count] : in_pack) {
    auto query = index_.database().query("SELECT bytes, live FROM packs WHERE id = ?1", {number(pack)});
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row || query.unsigned_integer(1) > count) continue;
    room.bytes += query.unsigned_integer(0);
    room.files += 1;
  }
  return room;
}

std::vector<Digest> blobs_of(const ManifestView& manifest) {
  std::vector<Digest> blobs;
  auto add = [&](const Digest& digest) {
    if (digest.size != 0) blobs.push_back(digest);
  };
  auto header = manifest.header();
  if (header.artifact) add(*header.artifact);
  if (header.terminal_output) add(*header.terminal_output);
  for (uint32_t position = 0; position < manifest.size(); ++position) {
    auto record = manifest.at(position);
    if (record.type != FileType::file) continue;
    if (const auto* digest = std::get_if<Digest>(&record.content)) add(*digest);
  }
  std::sort(blobs.begin(), blobs.end());
  blobs.erase(std::unique(blobs.begin(), blobs.end()), blobs.end());
  return blobs;
}

const Digest& empty_digest() {
  static const Digest digest = Digest::of({});
  return digest;
}

}  // namespace hitfs
