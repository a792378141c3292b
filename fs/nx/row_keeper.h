#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fs/nx/outside_databases.h"
#include "fs/nx/private_files.h"
#include "fs/nx/row_database.h"
#include "store/base/backoff.h"
#include "store/base/guarded.h"
#include "store/base/result.h"

namespace hitfs::fs {

// What the names of a mount have to say about rows. Called on the keeper's thread.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // True when `hash` may have a row: a whole entry of a successful task is shown under it. From then on the mount shows
  // that entry until the row is gone, whatever happens in the store.
  virtual bool publish(const std::string& hash) = 0;
  // Names with something behind them: entries, and trees of this machine.
  virtual Result<std::set<std::string>> names() = 0;
  // Names of entries that are on a remote and not here.
  virtual std::vector<std::string> announced() = 0;
  // True when `hash`, one of these, may have a row: nothing is shown under it, nor is being made. From then on a lookup
  // of it asks the remote, and whoever makes something under it has its rows removed before.
  virtual bool announce(const std::string& hash) = 0;
};

// The rows of nx's databases in a mount's private folder, kept in step with the mount's names: a row is made after its
// files are shown and goes before them. All changes are made by one thread in the order in which they were asked for;
// that thread may wait for other users of the databases, at most NxDatabase::kBusy each time, and serves nothing else.
// Another thread watches the folder, so that a database that nx makes is filled at once. Safe from several threads.
class RowKeeper {
 public:
  using Done = std::function<void(const Status&)>;

  // `source` outlives it. `folder` is made (0700).
  RowKeeper(std::filesystem::path folder, RowSource& source);
  ~RowKeeper() { stop(); }
  // What is asked for and not begun, and whatever is asked for later, ends with `unavailable`.
  void stop();

  // Before the mount serves a request: removes every row that has nothing behind it. Then the threads begin, and fill
  // every database with what there is.
  Status begin();

  // A row for `hash`, unless publish() says no. Many of them are one transaction.
  void project(const std::string& hash);
  void project_all();
  // Rows for entries that are not here, where a row without files is a miss (NxDatabase::is_announcing()), unless
  // announce() says no.
  void announce(const std::vector<std::string>& hashes);
  // When everything that is to have a row and is known now has it.
  void when_projected(Done done);
  // Removes the rows of `hash` from every database, then runs `done` on the keeper's thread.
  void remove(const std::string& hash, Done done);
  // Removes the rows that only promise `hash`, likewise: those of databases where a row without files is a miss.
  void withdraw(const std::string& hash, Done done);
  // Removes the database `name` with its log, as nx means to when it unlinks it.
  void wipe(const std::string& name, Done done);
  // Makes the database of this nx version and fills it.
  void prepare(const std::string& nx_version, Done done);

  // Looks after nx's own databases in a folder outside of the mount, too. `done` runs when their rows without files are
  // gone; at once for a folder that is known.
  void adopt(const std::filesystem::path& folder, Done done);
  // The mount is gone: nothing is behind any row outside of it. Waits, kBusy for each database at most.
  void leave();

  // The code of the newest row of `hash` in the shared databases; nothing when there is none. On the caller's thread,
  // which may wait.
  Result<std::optional<int64_t>> exit_code(const std::string& hash) const;

 private:
  struct Work {
    std::deque<std::function<void()>> tasks;
    std::set<std::string> hashes;     // to project
    std::set<std::string> announced;  // to announce
    bool all = false;
    std::optional<MonotonicTime> retry;  // a database could not be filled yet
    uint64_t changes = 0;
    bool closed = false;
  };
  void run(const std::stop_token& stop);
  void add(std::function<void()> task, const Done& done);
  void project_now(const std::set<std::string>& hashes);
  void announce_now(const std::set<std::string>& hashes);
  void fill_new_databases();
  Status make_database(const std::string& nx_version);
  bool fill(const std::filesystem::path& database);
  void try_again(Milliseconds after);
  Status remove_now(const std::string& hash);
  Status withdraw_now(const std::string& hash);
  void remove_bare_rows_outside(const std::set<std::string>& names);
  Status put_announced(NxDatabase& database, const std::vector<std::string>& hashes);
  // Does `change` to every shared database that is filled; one that misses it is filled anew later.
  void change_all(const std::function<Status(NxDatabase&)>& change);

  PrivateFiles files_;
  OutsideDatabases outside_;
  RowSource& source_;
  Guarded<Work> work_;
  std::map<std::filesystem::path, FileIdentity> filled_;  // of the keeper's thread
  std::set<std::string> promised_;                        // likewise: rows of what is not here
  std::set<std::string> stuck_;                           // likewise: of these, what must go and could not
  std::set<std::filesystem::path> warned_;                // likewise
  Backoff making_{Milliseconds(20), Milliseconds(1000)};  // likewise: nx is making a database
  std::vector<std::jthread> threads_;
};

}  // namespace hitfs::fs
