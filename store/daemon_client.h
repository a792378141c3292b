#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/key.h"
#include "store/store_paths.h"

// The daemon as fronts and the command line see it: HTTP/1.1 with JSON on the unix socket hitfs.sock of the store. The
// routes and their fields are in sync/README.md, section "The daemon's interface".
namespace hitfs {

// The answer to "is this entry here, or can it be?".
enum class FetchOutcome {
  here,         // committed and visible in the index now
  absent,       // every remote that answered says no
  pending,      // still being pulled when the wait ended; a later lookup hits
  unavailable,  // not known: breaker open, budget spent, remote failed, no remote, or no daemon
};

struct FetchReply {
  FetchOutcome outcome = FetchOutcome::unavailable;
  uint64_t entry_id = 0;  // when here
  std::string why;        // one word or line for `unavailable`, for logs and `why`
};

struct CommitReply {
  uint64_t entry_id = 0;
  bool replaced = false;  // an entry of that key was there with other bytes
};

enum class StoreOutcome { stored, same, different, refused };
struct StoreReply {
  StoreOutcome outcome = StoreOutcome::refused;
  std::string why;
};

// One change that the daemon tells its fronts. Numbered without gaps within an epoch (a daemon's life).
struct DaemonEvent {
  enum class Kind {
    committed,  // `key` now has entry `entry_id`; forget a remembered "no"
    retired,    // `entry_id` is no longer found by `key`: hide the name, let go of its numbers, then released()
    report,     // send the uses that you have collected, then ask again
    announced,  // there are new keys in GET /v1/announced: on a remote, and not here
  };
  uint64_t number = 0;
  Kind kind = Kind::committed;
  Key key;
  uint64_t entry_id = 0;
};

struct EventBatch {
  bool reset = false;  // the daemon is new or the front fell behind: nothing remembered is certain
  std::string epoch;
  uint64_t next = 0;  // ask again with this
  std::vector<DaemonEvent> events;
};

// How often a front answered from the store, for statistics and for the order of eviction.
struct Use {
  Key key;
  uint64_t entry_id = 0;  // 0 for a miss
  bool hit = true;
};

// Talks to the daemon of one store. Calls without a callback block until the daemon answered, at most `until`; they
// must not be made from a callback. Safe from several threads. A daemon that is not there is `unavailable` within
// milliseconds. Calls that a killed daemon left unanswered may be sent again to the next one.
class DaemonClient {
 public:
  static std::unique_ptr<DaemonClient> open(const StorePaths& paths);
  virtual ~DaemonClient() = default;

  // Asks for an entry and waits for it up to `wait`. `done` runs exactly once on the client's own thread, also when the
  // client is destroyed (with `unavailable`); it must not block. Thousands may be under way.
  virtual void fetch(const Key& key, Milliseconds wait, std::function<void(FetchReply)> done) = 0;

  // Hands a finished tree over: `draft` is a draft manifest in staging/<front>/, whose staged numbers are files there;
  // its header names the key. `durable` waits for the disk; else the answer comes after the index transaction.
  virtual Result<CommitReply> commit(const std::string& front, const std::string& draft, bool durable,
                                     const Deadline& until) = 0;

  // Hands an artifact over: `file` lies in staging/<front>/. Answered when it is validated, durable and indexed.
  virtual Result<StoreReply> store(const std::string& front, const std::string& file, const Key& key,
                                   const Deadline& until) = 0;

  // Long poll; returns when there is something, or an empty batch after about 30 s. `epoch` and `after` are from the
  // last batch ("" and 0 at first).
  virtual Result<EventBatch> events(const std::string& front, const std::string& epoch, uint64_t after,
                                    const Deadline& until) = 0;
  // The front holds no kernel reference to these retired entries any more.
  virtual Status released(const std::string& front, const std::vector<uint64_t>& entry_ids, const Deadline& until) = 0;
  virtual Status uses(const std::string& front, const std::vector<Use>& uses, const Deadline& until) = 0;

  // Any other route: `method` and `target` ("/v1/status?x=y") with a JSON body; the answer's JSON. A status of 400 and
  // above becomes the Error that the daemon put into it.
  virtual Result<Json> call(const std::string& method, const std::string& target, const Json& body,
                            const Deadline& until) = 0;

  // Ends every call under way, and each later one at once, with `unavailable`: for an orderly end of the process. A
  // client without waits of its own has nothing to end.
  virtual void interrupt() {}
};

}  // namespace hitfs
