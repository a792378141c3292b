#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "store/access_log.h"
#include "store/archive/guard.h"
#include "store/base/guarded.h"
#include "store/daemon_client.h"
#include "store/entry_store.h"
#include "sync/counting_writer.h"
#include "sync/local_work.h"
#include "sync/remote_set.h"
#include "sync/scratch.h"
#include "sync/sessions.h"
#include "sync/thread_pool.h"
#include "sync/timer_queue.h"

namespace hitfs {

// Behind the remote's name in the origin of an entry that came before anybody asked for it.
inline constexpr std::string_view kPrewarmed = " (prewarmed)";

// Brings entries here: one download per key however many wait for it, remotes in their order, nothing visible before it
// is checked and committed. A waiter that runs out of patience gets its answer; the pull goes on for the next one.
//
// What a build can lose here is bounded: while somebody waits, a tick of kTick in which less than kUsefulBytesPerTick
// arrived and nothing was done here with what had arrived counts as waiting, and when the session's budget is spent,
// every waiter is answered at once and later questions are instant misses. Safe from several threads; `done` runs on a
// thread of the fetcher and must not block.
//
// A prewarm uses the same pulls, but nobody waits for it: it counts as no miss and no failure, costs no budget, and
// what it brought has kPrewarmed behind the remote's name in its origin. A question for the same key that comes
// meanwhile joins the pull and makes it an ordinary one.
class Fetcher {
 public:
  static constexpr Milliseconds kTick{100};
  static constexpr uint64_t kUsefulBytesPerTick = 6'400;  // 64 kB/s: slower than this is not worth a build's time
  static constexpr uint64_t kStillTicks = 600;  // our own disk may stand still for a minute before that is waiting too

  struct Parts {  // all outlive the fetcher
    EntryStore& store;
    RemoteSet& remotes;
    Scratch& scratch;
    Sessions& sessions;
    TimerQueue& timers;
    std::function<bool()> wants_trees = {};  // asked at each pull; none: never
  };
  Fetcher(const Parts& parts, const GuardLimits& limits, size_t threads);
  // Answers every waiter with `unavailable`; running transfers are aborted. The timers are stopped before.
  ~Fetcher();

  void fetch(const Key& key, Milliseconds wait, std::function<void(FetchReply)> done);
  // Pulls what nobody has asked for yet. Whoever calls it bounds how many are under way: foreground pulls go first.
  void prewarm(const Key& key, std::function<void(FetchReply)> done);
  // Whether somebody waits for a pull now.
  [[nodiscard]] bool someone_waits();
  struct Progress {
    Key key;
    uint64_t received_bytes = 0;
    uint64_t total_bytes = 0;  // 0: not known
  };
  // The pulls that are under way.
  [[nodiscard]] std::vector<Progress> under_way();

 private:
  struct Waiter {
    uint64_t id;
    std::function<void(FetchReply)> done;
    std::optional<TimerQueue::Ticket> timeout;  // a prewarm has none
  };
  struct Pull {
    std::vector<Waiter> waiters;
    bool asked = false;                      // else it is only a prewarm
    ConfiguredRemote* asking = nullptr;      // the remote that is being waited for
    std::shared_ptr<PullProgress> progress;  // with that remote
  };
  struct State {
    std::map<Key, Pull> pulls;  // under way
    uint64_t last_waiter = 0;
    bool ticking = false;
    bool closed = false;
  };

  [[nodiscard]] std::optional<FetchReply> answer_at_once(const Key& key, bool asked);
  void begin(const Key& key, std::optional<Milliseconds> wait, std::function<void(FetchReply)> done);
  [[nodiscard]] bool is_asked(const Key& key);
  FetchReply counted(const Key& key, FetchReply reply);
  void pull(const Key& key);
  FetchReply pull_from_all(const Key& key);
  // `here`, `absent` or `unavailable` from one remote.
  FetchReply pull_from(ConfiguredRemote& remote, const Key& key);
  void finish(const Key& key, const FetchReply& reply);
  void waiter_timed_out(const Key& key, uint64_t waiter_id);
  void start_ticking_locked(State& state);
  void tick();
  void send_everybody_away();
  void asking(const Key& key, ConfiguredRemote* remote, std::shared_ptr<PullProgress> progress);

  static bool waits(const Pull& pull);

  Parts parts_;
  const GuardLimits limits_;
  std::stop_source stopping_;
  std::atomic<uint64_t> received_{0};  // since the last tick
  LocalWork here_{kStillTicks};
  Guarded<State> state_;
  std::optional<TimerQueue::Ticket> next_tick_;
  ThreadPool threads_;
};

}  // namespace hitfs
