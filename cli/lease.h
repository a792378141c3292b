#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/context.h"
#include "cli/supervisor/control_client.h"
#include "cli/supervisor/mount_driver.h"
#include "store/daemon_client.h"

namespace hitfs {

// What a command holds while it works: a connection to the supervisor, which is started when there is none. What was
// asked for through it ends with it. One thread until daemon() is called, which starts threads.
class Lease {
 public:
  static constexpr Milliseconds kStartLimit{30000};

  // Only connects.
  static Result<Lease> connect(const Context& context);
  // Connects and keeps the daemon alive; with `endpoint` the loopback listener too.
  static Result<Lease> take(const Context& context, bool endpoint);
  // As take(), for good: `hitfs start`.
  static Result<Lease> start(const Context& context);

  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] const std::string& token() const { return token_; }

  // Sends one request; `unavailable` after `limit`.
  Result<Json> request(const Json& request, Milliseconds limit);
  Status wait_until_closed(Milliseconds limit) { return control_.wait_until_closed(Deadline::after(limit)); }
  [[nodiscard]] DaemonClient& daemon();

 private:
  Lease(ControlClient control, StorePaths store) : control_(std::move(control)), store_(std::move(store)) {}
  static Result<Lease> ask(const Context& context, const Json& request);

  ControlClient control_;
  StorePaths store_;
  std::string url_, token_;
  std::unique_ptr<DaemonClient> daemon_;
};

// Digest of what a running supervisor would have to be told again: without tokens.
[[nodiscard]] std::string settings_digest(const Config& config);

// The absolute path of a mount point, resolved as far as it exists; a missing folder is made.
Result<std::filesystem::path> resolve_mount_point(const std::string& text, bool make);
Result<MountRequest> mount_request(const Context& context);

}  // namespace hitfs
