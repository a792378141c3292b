#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/entry_store.h"
#include "sync/fetcher.h"
#include "sync/pusher.h"
#include "sync/run_lists.h"
#include "sync/scratch.h"
#include "tests/support/fake_remote.h"

namespace hitfs::testing {

// A store with those parts of the daemon that change it, and one remote in memory.
class CrashBench {
 public:
  // `remote` outlives it: name -> bytes that the remote has.
  CrashBench(const StorePaths& paths, const std::string& boot_id, const std::map<std::string, std::string>& remote);
  ~CrashBench();
  CrashBench(const CrashBench&) = delete;
  CrashBench& operator=(const CrashBench&) = delete;

  [[nodiscard]] EntryStore& store() { return *store_; }
  [[nodiscard]] const StorePaths& paths() const { return paths_; }

  Status pull(const Key& key);
  Status push_everything();
  Status publish_list(const RunList& list);
  // What a front has staged, as the listener hands it over.
  Status hand_over(const std::string& file, std::string_view bytes, const Key& key);

 private:
  StorePaths paths_;
  std::unique_ptr<EntryStore> store_;
  std::unique_ptr<RemoteSet> remotes_;
  std::unique_ptr<Scratch> scratch_;
  Sessions sessions_{Milliseconds(10'000)};
  TimerQueue timers_;
  std::unique_ptr<RunLists> lists_;
};

// One thing that is asked of a store, between a store in which `prepare` was done and what it leaves.
struct CrashOperation {
  std::string name;
  bool durable = true;  // what it acknowledges survives a power cut
  std::vector<Key> keys;
  std::function<Status(CrashBench&)> prepare;
  std::function<Status(CrashBench&)> run;  // once more after a crash: whatever the crash left, it succeeds
  bool from_nothing = false;               // begins without a store: its opening makes one
  bool finds_damage = false;               // a reader may be told that bytes are damaged
};

[[nodiscard]] std::vector<CrashOperation> crash_operations();
// What the remote has at the beginning.
[[nodiscard]] std::map<std::string, std::string> remote_contents();

// What a reader sees of a store: a value for each key (none: no entry), and the number of pushes that are due.
struct Seen {
  std::map<Key, std::optional<std::string>> entries;
  uint64_t pushes = 0;
  std::string trouble;  // a read that failed otherwise than with `not_found`
};
[[nodiscard]] Seen look_at(EntryStore& store, const std::vector<Key>& keys);

}  // namespace hitfs::testing
