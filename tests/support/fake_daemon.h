#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "store/base/guarded.h"
#include "store/daemon_client.h"
#include "tests/support/fake_store.h"

namespace hitfs::testing {

// A daemon in this process behind the DaemonClient seam: remotes are a table, and a test decides when it answers. Safe
// from several threads.
class FakeDaemon final : public DaemonClient {
 public:
  FakeDaemon(FakeStore& store, StorePaths paths) : store_(store), paths_(std::move(paths)) {}
  ~FakeDaemon() override;

  // --- what a test sets ---
  void set_up(bool up);
  void remote_has(const Key& key, TreeText tree);
  // Names keys that a remote has and that are not here, and says so by an event.
  void announce(const std::vector<Key>& keys);
  // Fetches are answered only by answer_fetches().
  void hold_fetches(bool hold);
  void answer_fetches();
  // Commits wait until this is taken back; false in `before` makes one fail as unavailable.
  void hold_commits(bool hold);
  void fail_commits(std::optional<Error> error);
  // The commit is carried out and its answer lost.
  void lose_commit_answers(bool lose);
  void move_staged_files(bool move);
  // Called between the moving of the staged files and the answer, without a lock.
  void on_commit(std::function<void()> hook);
  // Called after each commit and retirement that this daemon makes.
  void on_event(std::function<void(const DaemonEvent&)> hook);
  void wait_for_commits_begun(size_t count);
  // What events() gives next; it waits for it.
  void say(DaemonEvent event);
  // Reports of uses wait until this is taken back.
  void hold_uses(bool hold);
  // How often the daemon was asked for events, and the keys whose use it was told of, once they have come so far.
  bool wait_for_polls(size_t count, Milliseconds limit);
  bool wait_for_uses(size_t count, Milliseconds limit);
  // Uses whose report was answered.
  [[nodiscard]] std::vector<Key> uses_told();

  [[nodiscard]] size_t fetches();
  [[nodiscard]] std::vector<std::string> calls();
  void wait_for_calls(size_t count);

  void fetch(const Key& key, Milliseconds wait, std::function<void(FetchReply)> done) override;
  Result<CommitReply> commit(const std::string& front, const std::string& draft, bool durable,
                             const Deadline& until) override;
  Result<StoreReply> store(const std::string& front, const std::string& file, const Key& key,
                           const Deadline& until) override;
  Result<EventBatch> events(const std::string& front, const std::string& epoch, uint64_t after,
                            const Deadline& until) override;
  Status released(const std::string& front, const std::vector<uint64_t>& entry_ids, const Deadline& until) override;
  Status uses(const std::string& front, const std::vector<Use>& uses, const Deadline& until) override;
  Result<Json> call(const std::string& method, const std::string& target, const Json& body,
                    const Deadline& until) override;
  void interrupt() override;

 private:
  struct Question {
    Key key;
    std::function<void(FetchReply)> done;
  };
  struct State {
    bool up = true, hold_fetches = false, hold_commits = false, lose_answers = false, move = true;
    std::optional<Error> commit_error;
    std::map<Key, TreeText> remote;
    std::vector<Key> announced;
    std::vector<Question> held;
    size_t fetches = 0, commits_begun = 0;
    bool hold_uses = false, interrupted = false;
    size_t polls = 0, uses_begun = 0;
    std::vector<DaemonEvent> said;
    std::vector<Key> uses;
    std::vector<std::string> calls;
    std::function<void()> on_commit;
    std::function<void(const DaemonEvent&)> on_event;
  };
  FetchReply answer_to(const Key& key);
  Json announced_after(size_t count);
  void tell(DaemonEvent::Kind kind, const Entry& entry);

  FakeStore& store_;
  StorePaths paths_;
  Guarded<State> state_;
};

}  // namespace hitfs::testing
