#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "store/base/guarded.h"
#include "store/entry_store.h"
#include "store/push_queue.h"
#include "sync/remote_set.h"
#include "sync/run_lists.h"
#include "sync/scratch.h"
#include "sync/sessions.h"

namespace hitfs {

// Empties the push queue in the background: per remote `parallel_pushes` threads, each taking one job at a time. A
// failure that may pass waits with backoff (or as long as Retry-After says); a refusal is parked and shown. Uploads
// never delay a build: nobody waits for these threads but `flush`. Safe from several threads.
class Pusher {
 public:
  struct Parts {  // all outlive the pusher
    EntryStore& store;
    RemoteSet& remotes;
    Scratch& scratch;
    Sessions& sessions;
    RunLists* lists = nullptr;  // pushes the parts of run lists; without it they are entries like others
  };
  struct Options {
    PushQueue::Order order = PushQueue::Order::oldest_first;
    std::string on_push_failed = {};  // a command of the user's (push_alarm.h); empty for none
    Milliseconds first_pause{1'000};  // before the second try; doubles, up to five minutes
  };
  Pusher(const Parts& parts, Options options);
  ~Pusher();

  // A commit has put something into the queue, or a remote is back.
  void wake();
  enum class Wait {
    for_all,
    while_promising,  // no longer than promising()
  };
  // Waits until nothing is waiting or running, a stop, or `until`; true when the queue is empty.
  bool wait_until_empty(const Deadline& until, std::stop_token stop, Wait wait = Wait::for_all);
  // Whether something in the queue is for a remote that may take it soon: not one that answers no probe, that asked for
  // a long pause, or where pushes failed again, and it asks for another pause or nothing is left that was not tried.
  [[nodiscard]] bool promising();

 private:
  struct State {
    uint64_t wakes = 0;     // so that no wake is lost between look and wait
    uint64_t finished = 0;  // jobs ended, whichever way
  };

  [[nodiscard]] bool is_given_up(ConfiguredRemote& remote, const std::vector<PushJob>& pending);
  void serve(ConfiguredRemote& remote, const std::stop_token& stop);
  void wait_for_work(ConfiguredRemote& remote, uint64_t seen_wakes, const std::stop_token& stop);
  void push(ConfiguredRemote& remote, const PushJob& job, const std::stop_token& stop);
  void push_list(ConfiguredRemote& remote, const PushJob& job, const Entry& part, const std::stop_token& stop);
  void done(const PushJob& job);
  // Puts a job back into the queue, until the remote may take it.
  Status try_again(ConfiguredRemote& remote, const PushJob& job, const std::string& why);
  void settle(ConfiguredRemote& remote, const PushJob& job, const Error& error);
  static void log_parked(ConfiguredRemote& remote, const PushJob& job, const Error& error);
  void alarm(const PushJob& job, const std::string& why);

  Parts parts_;
  const Options options_;
  Guarded<State> state_;
  std::vector<std::jthread> threads_;
};

}  // namespace hitfs
