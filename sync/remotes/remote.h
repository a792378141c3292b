#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/result.h"
#include "store/key.h"
#include "store/manifest.h"
#include "store/stream.h"
#include "sync/remotes/remote_call.h"

namespace hitfs {

// What a remote uploads; it asks for the form that its protocol has. The object outlives the call.
class EntryReader {
 public:
  virtual ~EntryReader() = default;
  // The wire form: a known size, exactly those bytes. May be called again for a retry.
  virtual Result<std::unique_ptr<ByteSource>> artifact() = 0;
  // The tree, for protocols that know trees. `invalid_argument` for an entry that is an artifact only.
  virtual Result<ManifestView> tree() = 0;
  virtual Result<std::unique_ptr<ByteSource>> blob(const Digest& digest) = 0;
};

// What a remote downloads into: either one artifact, or blobs and then a tree. Nothing is visible before the daemon has
// checked and committed it; an abandoned writer leaves nothing behind.
class EntryWriter {
 public:
  virtual ~EntryWriter() = default;
  // Starts the artifact; the sink belongs to the writer. A second call starts again from nothing (a retry). `no_space`
  // when `size` (when known) is over a limit.
  virtual Result<ByteSink*> artifact(std::optional<uint64_t> size) = 0;
  // For protocols that know trees: every blob that is not here yet, then the tree.
  virtual Result<bool> has_blob(const Digest& digest) = 0;
  virtual Result<ByteSink*> blob(const Digest& digest) = 0;
  virtual Status tree(ManifestBuilder tree, const ManifestHeader& header) = 0;
};

// Why a remote did not take an entry, as far as the push queue treats it differently.
enum class StoreResult {
  stored,         // 200, 201, 202, 204
  already_there,  // 409, 412: the first one wins
};

// A cache somewhere else. Safe to call from several threads at once; every call blocks and gives up when the call's
// deadline or stop says so or a limit of patience is reached; it fills in the call's times and trouble. Errors:
// `not_found` is a miss; `unavailable` may be tried again; `permission_denied`, `invalid_argument` and `no_space` (413,
// 507) are permanent refusals; `corrupt` is a broken body.
class Remote {
 public:
  virtual ~Remote() = default;

  // Streams the entry into `out`.
  virtual Status fetch(const RemoteKey& key, EntryWriter& out, RemoteCall& call) = 0;
  virtual Result<StoreResult> store(const RemoteKey& key, EntryReader& entry, RemoteCall& call) = 0;
  virtual Result<bool> contains(const RemoteKey& key, RemoteCall& call) = 0;
  // Removes an entry on purpose (purge). `invalid_argument` where the protocol has no way to say it.
  virtual Status remove(const RemoteKey& key, RemoteCall& call) = 0;

  // The namespace whose plain names other clients of this protocol use ("nx"), or "".
  [[nodiscard]] virtual std::string_view own_space() const = 0;
  // For people: the URL without credentials.
  [[nodiscard]] virtual std::string describe() const = 0;
};

}  // namespace hitfs
