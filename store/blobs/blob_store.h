#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "store/base/guarded.h"
#include "store/base/lru_cache.h"
#include "store/base/process.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/index/index_rows.h"
#include "store/store_paths.h"

namespace hitfs {

// The bytes of blobs on disk, read by place, on a bounded number of open descriptors (the ones used last). Safe from
// several threads; a descriptor stays open while somebody holds it.
class BlobStore {
 public:
  static constexpr size_t kOpenFiles = 128;

  explicit BlobStore(StorePaths paths)
      : paths_(std::move(paths)), open_(LruCache<Name, File, NameHash>(std::min(kOpenFiles, file_limit() / 8))) {}

  using File = std::shared_ptr<const UniqueFd>;
  // The pack or file that holds the blob; `not_found` when it is gone.
  Result<File> open(const Digest& digest, const Place& place);
  // Short only at the end of the blob; `corrupt` when the file ends before.
  Result<size_t> read(const Digest& digest, const Place& place, std::span<std::byte> into, uint64_t offset);

  // Reads the whole blob: whether its bytes are those of its digest. `progress`, when given, is called between pieces
  // of a large one.
  Result<bool> has_right_bytes(const Digest& digest, const Place& place, const std::function<void()>& progress = {});

  void forget(const Digest& digest, const Place& place);
  void forget_all();
  // Closes what has no name any more, so that the disk gets its room back.
  void forget_freed();

 private:
  struct Name {
    uint64_t pack;
    Digest digest;  // of a file of its own
    bool operator==(const Name&) const = default;
  };
  struct NameHash {
    size_t operator()(const Name& name) const { return std::hash<Digest>{}(name.digest) ^ name.pack; }
  };
  [[nodiscard]] static Name name_of(const Digest& digest, const Place& place);

  const StorePaths paths_;
  Guarded<LruCache<Name, File, NameHash>> open_;
};

}  // namespace hitfs
