#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fs/numbers.h"
#include "store/base/result.h"

// One record of names.log; the bytes are described in fs/README.md, section names.log.
namespace hitfs::fs {

// What happened to a mount's names. The numbers are part of the format: never change or reuse one.
enum class NameOp : uint8_t {
  session = 1,         // a worker began: value = connection, name = boot id, number = the next staging number,
                       // tree = the next sequence number, other_parent = the next tree; of a snapshot:
                       // parent = the first staging number of this mount
  create = 2,          // a file `number` got (parent, name); value = its sequence number, 0 for the next
  make_directory = 3,  // likewise
  make_symlink = 4,    // likewise; other_name = target
  link = 5,            // (parent, name) shows `number`, which exists already
  remove = 6,          // (parent, name) is gone; value = the entry that it hides, 0 for none
  rename = 7,          // (parent, name) became (other_parent, other_name); value = the entry that it hides;
                       // tree = nonzero: the renamed tree is complete and frozen under this number
  attributes = 8,      // mode, mtime_ns, atime_ns of `number`, as far as present
  copy_up = 9,         // writes to `number` go to the staged file `value` from now on
  drop_overlay = 10,   // and no longer; with a value: all overlays of `value` numbers from `number` on are gone
  complete = 11,       // `number`, shown as `name` at the top, is frozen where it stands, as `tree`
  promote = 12,        // the overlay bytes of `number` became the file `value` at the top name `name`, frozen as `tree`
  committed = 13,      // `tree` is entry `value`
  dropped = 14,        // `tree` never becomes an entry; its bytes go with the last reference
  synced = 15,         // the bytes of `tree` in staging survive a power cut
  whiteout = 16,       // `name` at the top hides the entry `value` and older ones, and whatever `tree` becomes
  alias = 17,          // the kernel still uses `number` for the committed number `value`; other_parent = its entry
  done = 18,           // the request `unique` was carried out; number = what it made
  hide = 19,           // (parent, name) of a committed or frozen directory is gone in this mount
  thaw = 20,           // `tree` stays what it is, names of this mount, and never becomes an entry
};

struct NameRecord {
  NameOp op = NameOp::session;
  uint64_t unique = 0;  // the kernel's number of the request; 0 for what no request asked for
  int64_t time_ns = 0;  // when, since 1970
  Number number = 0;
  Number parent = 0;
  Number other_parent = 0;
  uint64_t value = 0;
  uint64_t tree = 0;
  std::optional<uint16_t> mode{};
  std::optional<int64_t> mtime_ns{};
  std::optional<int64_t> atime_ns{};
  std::string name{};
  std::string other_name{};

  bool operator==(const NameRecord&) const = default;
};

// The payload of a record, without its frame.
[[nodiscard]] std::string encode(const NameRecord& record);
// `corrupt` for anything that encode() does not make; `invalid_argument` for an operation of a later version.
Result<NameRecord> decode(std::string_view payload);

}  // namespace hitfs::fs
