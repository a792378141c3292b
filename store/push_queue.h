#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/base/result.h"
#include "store/key.h"

namespace hitfs {

// One entry on its way to one remote.
struct PushJob {
  int64_t id = 0;
  uint64_t entry_id = 0;
  Key key;
  std::string remote;
  uint64_t bytes = 0;
  int attempts = 0;
};

// The remote of a job of which only that is known that it waits.
constexpr std::string_view kUnknownRemote;

struct ParkedPush {
  PushJob job;
  std::string why;  // the remote's refusal
  int64_t since_ms = 0;
};

struct PushQueueStats {
  uint64_t waiting = 0, running = 0, parked = 0;
  uint64_t waiting_bytes = 0;  // of waiting and running ones
  uint64_t dropped = 0;        // given up by eviction, since the store was made
};

// The push queue is a table of the index: it survives the daemon. Rows are made by the commit of an entry
// (CommitOptions::push_to). A job taken by a daemon that died waits again after the next open. Safe from several
// threads.
class PushQueue {
 public:
  virtual ~PushQueue() = default;

  enum class Order { smallest_first, oldest_first };
  // Takes the next job of `remote` whose time has come.
  virtual Result<std::optional<PushJob>> take(const std::string& remote, Order order, int64_t now_ms) = 0;
  virtual Status done(const PushJob& job) = 0;
  // Waits again until `not_before_ms` (unix), counting the attempt.
  virtual Status retry(const PushJob& job, int64_t not_before_ms, const std::string& why) = 0;
  // A permanent refusal: kept to be shown, tried again only by unpark().
  virtual Status park(const PushJob& job, const std::string& why) = 0;
  virtual Result<std::vector<ParkedPush>> parked(size_t limit) = 0;
  virtual Result<uint64_t> unpark() = 0;
  // Gives jobs without a remote (kUnknownRemote: their queue was lost) to each of these.
  virtual Status assign(const std::vector<std::string>& remotes, int64_t now_ms) = 0;
  // Whether a push of the entry waits, runs or is parked.
  virtual Result<bool> has(uint64_t entry_id) = 0;
  // What still waits or runs, smallest first.
  virtual Result<std::vector<PushJob>> pending(size_t limit) = 0;
  // When the next waiting job of `remote` may be taken (unix ms); none when it has none.
  virtual Result<std::optional<int64_t>> next_due_ms(const std::string& remote) = 0;
  virtual PushQueueStats stats() = 0;
};

}  // namespace hitfs
