#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "store/base/clock.h"
#include "store/base/guarded.h"
#include "store/base/json.h"
#include "store/entry_store.h"
#include "sync/announcements.h"
#include "sync/fetcher.h"
#include "sync/run_lists.h"

namespace hitfs {

// Pulls entries before anybody asks for them: those of the nearest run list, or named ones. In the background, a thread
// per job; what builds ask for meanwhile goes first, and joins a pull that is under way. What is not here at the
// beginning is announced, and stays so when it was left out. Safe from several threads.
class Prewarmer {
 public:
  static constexpr size_t kMostJobs = 4;          // at once
  static constexpr size_t kSideBySide = 16;       // pulls of one job ...
  static constexpr size_t kBesideForeground = 4;  // ... while somebody waits for a pull of a build

  struct Request {
    std::vector<std::string> commits = {};  // nearest first; the lists up to the first one of a build that succeeded
    std::vector<Key> keys = {};             // besides
    uint64_t max_bytes = 0;                 // 0: no limit but the store's
    Milliseconds max_time{0};
  };

  struct Progress {
    bool done = false;
    std::string commit;         // whose list it is; empty when there is none
    size_t distance = 0;        // its place in Request::commits
    size_t searched = 0;        // commits that were looked up
    uint64_t wanted = 0;        // keys; the sum of the next five and of what is under way
    uint64_t here = 0;          // were on this machine
    uint64_t pulled = 0;        // came now
    uint64_t missing = 0;       // no remote has them
    uint64_t failed = 0;        // could not be asked for
    uint64_t left_out = 0;      // over a limit
    uint64_t bytes = 0;         // of what came
    uint64_t wanted_bytes = 0;  // as far as the list says it
    std::string limit;          // "bytes" or "time" when that limit left something out, "stopped"
    std::string trouble;        // the first failure
  };

  struct Parts {  // all outlive it
    EntryStore& store;
    Fetcher& fetcher;
    RunLists& lists;
    Announcements* announcements = nullptr;  // none where no remote can be asked
  };
  explicit Prewarmer(const Parts& parts);
  ~Prewarmer();

  // The job's id; `unavailable` while kMostJobs are under way.
  Result<std::string> begin(Request request);
  // Nothing for an unknown job; the last few that ended are remembered.
  std::optional<Progress> progress(const std::string& id);
  // Starts nothing more; what is under way comes in all the same.
  void stop(const std::string& id);

 private:
  struct Job;
  void run(const std::shared_ptr<Job>& job, const std::stop_token& stop);
  std::vector<RunList::Item> wanted(Job& job, const Deadline& until, const std::stop_token& stop);
  void announce(const std::vector<RunList::Item>& items);
  bool wait_for_turn(Job& job, const Deadline& until, const std::stop_token& stop);
  void pull(const std::shared_ptr<Job>& job, const RunList::Item& item);

  struct Running {
    std::shared_ptr<Job> job;
    std::jthread thread;
  };
  const Parts parts_;
  Guarded<std::map<uint64_t, Running>> jobs_;
  // Under the lock of jobs_. Begins anywhere: who still asks for a job of a daemon before must not get one of this.
  uint64_t last_id_;
};

[[nodiscard]] Json to_json(const Prewarmer::Progress& progress);

}  // namespace hitfs
