#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "store/base/guarded.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/digest.h"
#include "sync/options.h"
#include "sync/remotes/remote.h"
#include "sync/remotes/transfer_watch.h"

namespace hitfs {

// A folder that several machines share (NFS, CIFS, a disk): `<root>/hitfs-1/<first two characters>/<name>`, each file
// the artifact's bytes and a trailer with their size and SHA-256 (sync/README.md, section "A shared drive"). A file is
// written aside in `incoming/`, synced and linked into place, so it appears whole or not at all, the first writer wins,
// and nothing needs a lock. A damaged file is never handed out, and the next store of its name replaces it.
//
// A drive that hangs holds the calling thread in the kernel, where neither deadline nor stop reaches it; GuardedRemote
// notices and keeps further calls away.
class FileRemote final : public Remote {
 public:
  FileRemote(std::filesystem::path root, const Patience& patience);

  Status fetch(const RemoteKey& key, EntryWriter& out, RemoteCall& call) override;
  Result<StoreResult> store(const RemoteKey& key, EntryReader& entry, RemoteCall& call) override;
  Result<bool> contains(const RemoteKey& key, RemoteCall& call) override;
  Status remove(const RemoteKey& key, RemoteCall& call) override;
  [[nodiscard]] std::string_view own_space() const override { return ""; }
  [[nodiscard]] std::string describe() const override;

 private:
  struct StoredFile {
    UniqueFd fd;
    Digest digest;
  };
  [[nodiscard]] Result<std::filesystem::path> path_of(const RemoteKey& key) const;
  // `not_found` for a miss, `corrupt` for a file that is no whole entry.
  Result<StoredFile> open_entry(const std::filesystem::path& path) const;
  Status copy_out(const StoredFile& file, ByteSink& sink, TransferWatch& watch) const;
  Result<StoreResult> publish(const std::filesystem::path& aside, const std::filesystem::path& path,
                              bool replace) const;
  Status write_aside(int fd, ByteSource& source, TransferWatch& watch) const;
  // Removes what writers that died left in `incoming/`, at most once a day; `fresh` is a file written just now, whose
  // time is the drive's own.
  void clean_incoming(const std::filesystem::path& fresh);
  [[nodiscard]] Status drive_is_there() const;

  const std::filesystem::path root_;
  const std::filesystem::path home_;  // root_/hitfs-1
  const Patience patience_;
  Guarded<std::set<std::string>> damaged_;  // names whose file did not match its trailer; bounded
  std::atomic<int64_t> next_cleaning_ms_{0};
};

}  // namespace hitfs
