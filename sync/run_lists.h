#pragma once

#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "store/entry_store.h"
#include "sync/remote_set.h"
#include "sync/run_list.h"
#include "sync/scratch.h"
#include "sync/thread_pool.h"

namespace hitfs {

// Keeps run lists, on this machine and on the remotes. A list never changes: what another build of the commit adds is
// its next part, so nothing needs a server that lists, locks or overwrites. Looking for one is no lookup of a build:
// nothing is counted, nothing comes into the store. Safe from several threads.
class RunLists {
 public:
  // Parts of a commit on one remote; what comes after them is dropped.
  static constexpr uint64_t kMostParts = 64;
  // Commits that are asked for side by side.
  static constexpr size_t kSideBySide = 16;

  // All outlive it; `committed` is called when something was put into the push queue.
  RunLists(EntryStore& store, RemoteSet& remotes, Scratch& scratch, std::function<void()> committed);
  ~RunLists() { stopping_.request_stop(); }

  struct Published {
    size_t keys = 0;
    std::string part;  // the key of the entry; empty when the parts that are here say all of it already
  };
  // Commits a part here and queues it for every writable remote. Blocks on the disk.
  Result<Published> publish(const RunList& list);

  // What the push queue does with a part: its number on the remote is the first that the remote does not have, and
  // nothing is sent when the parts before say all of it. An error may pass; a refusal is logged and no error, because
  // nobody is to be warned of a hint that a server does not take.
  Status push(ConfiguredRemote& remote, const Entry& part, const Deadline& until, std::stop_token stop);

  struct Search {
    struct Found {
      size_t index = 0;  // in the commits that were asked for
      RunList list;      // all parts, of this machine and the remotes, as one
    };
    std::vector<Found> found;  // in the order of the commits
    size_t searched = 0;       // commits that were looked up
    std::string trouble;       // why a remote may have more; empty when each answered
  };
  // Looks the commits up in their order, kSideBySide at a time, until `enough` holds for one of the lists.
  Search search(const std::vector<std::string>& commits, const std::function<bool(const RunList&)>& enough,
                const Deadline& until, std::stop_token stop);

 private:
  struct Lookup {
    std::optional<RunList> list;
    std::string trouble;
  };
  struct Batch;

  [[nodiscard]] std::vector<Entry> local_parts(const std::string& commit);
  Result<std::string> read_local(const Entry& part);
  void add_local(const std::string& commit, Lookup& into);
  void add_remote(ConfiguredRemote& remote, const std::string& commit, const Deadline& until, Lookup& into);
  Lookup look_up(const std::string& commit, const Deadline& until);
  // What each of these commits has; those that are not answered in time have nothing.
  std::vector<Lookup> look_up_all(std::span<const std::string> commits, const Deadline& until, std::stop_token stop);
  Result<Committed> commit(const std::string& bytes, const Key& key);

  EntryStore& store_;
  RemoteSet& remotes_;
  Scratch& scratch_;
  const std::function<void()> committed_;
  std::stop_source stopping_;
  ThreadPool lookups_{kSideBySide};
};

}  // namespace hitfs
