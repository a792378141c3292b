#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/base/json.h"
#include "store/base/result.h"
#include "store/key.h"
#include "sync/options.h"
#include "sync/remotes/guarded_remote.h"

namespace hitfs {

// A remote with what the daemon keeps about it. Safe from several threads.
struct ConfiguredRemote {
  RemoteOptions options;
  uint64_t generation = 0;
  std::unique_ptr<GuardedRemote> remote;
  std::atomic<bool> write_denied{false};  // its last answer to a push was that we may not write; set by the pusher
  std::atomic<bool> fails_again{false};   // a push failed for the second time, and none has succeeded since; the same

  [[nodiscard]] bool reads() const { return options.mode == RemoteMode::read || options.mode == RemoteMode::readwrite; }
  [[nodiscard]] bool writes() const {
    return options.mode == RemoteMode::write || options.mode == RemoteMode::readwrite;
  }
  [[nodiscard]] RemoteKey name_of(const Key& key) const { return RemoteKey::of(key, generation, remote->own_space()); }
};

// The remotes of this machine, in the order in which they are asked. Does not change after the start.
class RemoteSet {
 public:
  // A wrong URL or token is `invalid_argument` with the remote's name. `breaker_changed` is called on any thread when a
  // remote is given up or is back; it must not block.
  static Result<std::unique_ptr<RemoteSet>> open(const DaemonOptions& options, std::function<void()> breaker_changed);

  // Of remotes that are there already; tests put fakes in.
  explicit RemoteSet(std::vector<std::unique_ptr<ConfiguredRemote>> remotes);

  [[nodiscard]] bool any_readable() const { return !readable_.empty(); }
  [[nodiscard]] const std::vector<ConfiguredRemote*>& readable() const { return readable_; }
  [[nodiscard]] const std::vector<ConfiguredRemote*>& writable() const { return writable_; }
  // The names of the writable ones, for CommitOptions::push_to.
  [[nodiscard]] const std::vector<std::string>& push_targets() const { return push_targets_; }
  // All readable names, for the access log.
  [[nodiscard]] const std::string& names() const { return names_; }
  [[nodiscard]] Json status_json() const;

 private:
  std::vector<std::unique_ptr<ConfiguredRemote>> all_;
  std::vector<ConfiguredRemote*> readable_;
  std::vector<ConfiguredRemote*> writable_;
  std::vector<std::string> push_targets_;
  std::string names_;
};

}  // namespace hitfs
