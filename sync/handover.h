#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "store/archive/guard.h"
#include "store/daemon_client.h"
#include "store/entry_store.h"
#include "store/store_paths.h"
#include "sync/incoming.h"
#include "sync/remote_set.h"

namespace hitfs {

// Takes in what fronts have staged: finished trees of a mount, artifacts that the listener received. Blocking (it
// hashes and waits for the disk); safe from several threads.
class Handover {
 public:
  // All outlive it. `committed` is called after a commit that put something into the push queue.
  Handover(EntryStore& store, RemoteSet& remotes, StorePaths paths, const GuardLimits& limits,
           std::function<void()> committed);

  // `draft` in staging/<front>/; the draft itself is the front's to remove.
  Result<CommitReply> commit(const std::string& front, const std::string& draft, bool durable);
  // `file` in staging/<front>/ is consumed, whatever the outcome.
  // Puts a tree in the place of an artifact, for mounts.
  Result<Admission> unpack(const Key& key);
  Result<StoreReply> store(const std::string& front, const std::string& file, const Key& key);

 private:
  Result<std::filesystem::path> staged_path(const std::string& front, const std::string& file) const;

  EntryStore& store_;
  RemoteSet& remotes_;
  const StorePaths paths_;
  const GuardLimits limits_;
  const std::function<void()> committed_;
};

}  // namespace hitfs
