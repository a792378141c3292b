#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "sync/options.h"
#include "sync/remotes/breaker.h"
#include "sync/remotes/remote.h"

namespace hitfs {

// Which calls a pause is for: a server that slows uploads down may well answer lookups.
enum class Traffic { reads, writes };

// Adds the breaker and pacing to a remote: while the breaker is open, and until a Retry-After has passed, calls end at
// once with `unavailable`. One thread of its own sends the probe that closes the breaker, and opens it when a call
// waits for the remote far beyond every limit (a shared drive that hangs in the kernel, where nothing can be aborted).
// Safe from several threads. The destructor waits a second for that thread and then leaves it behind with the remote,
// should a drive hold it.
class GuardedRemote final : public Remote {
 public:
  struct Options {
    Patience patience{};
    Breaker::Options breaker{};
    // A probe must be answered within this, so that a remote that answers too slowly to be useful stays out. As long as
    // a lookup in a mount waits.
    Milliseconds probe_limit{2'000};
    // Called after each change of the breaker, on any thread, and never again once the destructor began; must not
    // block or destroy this remote. May be empty.
    std::function<void(BreakerState)> changed{};
  };
  GuardedRemote(std::unique_ptr<Remote> inner, Options options);
  ~GuardedRemote() override;

  Status fetch(const RemoteKey& key, EntryWriter& out, RemoteCall& call) override;
  Result<StoreResult> store(const RemoteKey& key, EntryReader& entry, RemoteCall& call) override;
  Result<bool> contains(const RemoteKey& key, RemoteCall& call) override;
  Status remove(const RemoteKey& key, RemoteCall& call) override;
  [[nodiscard]] std::string_view own_space() const override;
  [[nodiscard]] std::string describe() const override;

  // For status(), allows() and trip(); the calls above ask and report by themselves.
  [[nodiscard]] Breaker& breaker();
  // Opens the breaker and wakes the probe: waiting for this remote used up a build's budget.
  void trip(const std::string& why);
  // How long the remote asked to be left alone, from now; zero when it did not.
  [[nodiscard]] Milliseconds pause(Traffic traffic);

 private:
  struct Core;
  std::shared_ptr<Core> core_;
  std::jthread thread_;
};

}  // namespace hitfs
