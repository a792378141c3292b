#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/entry.h"
#include "store/manifest.h"
#include "store/store_paths.h"

namespace hitfs {

// The store as a front sees it: read only, beside a running daemon, without one, and across its restarts. No read
// transaction outlives a call. Safe from several threads (a connection per call is taken from a small pool).
class StoreReader {
 public:
  // `not_found` when there is no store there yet, `invalid_argument` for a newer format.
  // `boot_id`: "" for the kernel's; tests give another to stand for a reboot. `progress`, when given, is called now and
  // then while a call reads a large blob to check it.
  static Result<std::unique_ptr<StoreReader>> open(const StorePaths& paths, std::string boot_id = {},
                                                   std::function<void()> progress = {});
  virtual ~StoreReader() = default;

  // The visible entry of a key; `not_found` is a miss. BUSY during recovery is waited for, never a miss.
  virtual Result<Entry> find(const Key& key) = 0;
  // The entry whose range holds `number`, retired ones included. Cached: `retired` and `last_used_ns` may be old.
  virtual Result<Entry> containing(uint64_t number) = 0;
  // Visible entries of a namespace after `after` in byte order of their names, at most `limit`.
  virtual Result<std::vector<Entry>> list(const std::string& scope, const std::string& space, const std::string& after,
                                          size_t limit) = 0;

  // Entries that are no longer found by their keys and whose bytes are still here, oldest first. None where nobody can
  // hold on to one.
  virtual Result<std::vector<Entry>> retired() { return std::vector<Entry>{}; }

  // Mapped and cached (the last few hundred).
  virtual Result<std::shared_ptr<const MappedManifest>> manifest(uint64_t entry_id) = 0;

  // Reads from a blob at `offset`; short only at its end. `not_found` or `corrupt` when the bytes are not here. Before
  // a reader gives the first bytes of a blob away, here or by locate(), it compares the whole blob with its digest.
  virtual Result<size_t> read(const Digest& blob, std::span<std::byte> into, uint64_t offset) = 0;
  // A descriptor of the file that holds the blob, and where in it the blob starts: for sendfile.
  struct Location {
    UniqueFd file;
    uint64_t offset;
  };
  virtual Result<Location> locate(const Digest& blob) = 0;

  // Closes files that are open here but unlinked in the meantime, so that the disk gets their room back. Cheap; for a
  // front to call after entries were retired or now and then.
  virtual void forget_freed() {}
};

}  // namespace hitfs
