#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/supervisor/background.h"
#include "cli/supervisor/bounded_log.h"
#include "cli/supervisor/child.h"
#include "cli/supervisor/control.h"
#include "cli/supervisor/endpoint.h"
#include "cli/supervisor/fd_store.h"
#include "cli/supervisor/health_probe.h"
#include "cli/supervisor/miss_answerer.h"
#include "cli/supervisor/mount_table.h"
#include "store/base/file_lock.h"
#include "sync/options.h"

namespace hitfs {

struct SupervisorOptions {
  StorePaths store;
  Json daemon_options;                   // the JSON of DaemonOptions
  ListenerOptions loopback;              // address and token are filled in here
  std::optional<ListenerOptions> serve;  // `hitfs serve`: a lease of its own, from the start
  bool started = false;                  // as `hitfs start`, from the start: in the foreground of a service
  uint16_t port = 0;                     // of the loopback endpoint; 0: any
  Milliseconds idle{60000};              // without a lease for so long: the end
  Milliseconds flush{60000};             // at the end, for what is still to be pushed
  std::string settings;                  // digest of the configuration, to tell a joiner that it runs with another one
  std::filesystem::path log_file;        // empty in the foreground
};

// What the supervisor starts and calls, so that tests can put small programs of their own there.
struct SupervisorParts {
  std::string program;  // "" for arguments[0]
  std::vector<std::string> daemon_arguments, listener_arguments;
  std::vector<std::string> environment;
  std::function<Json(const ListenerOptions&)> listener_json;
  // Waits until the push queue is empty, at most `limit`; blocks, called on a thread of its own.
  std::function<Status(Milliseconds limit)> flush;
  MountDriver* mounts = nullptr;
  WorkerSettings workers;
  RestartPolicy daemon_policy{
      .first_pause = Milliseconds(50), .longest_pause = Milliseconds(10000), .most_in_window = 0};
  RestartPolicy listener_policy{.start_limit = Milliseconds(20000)};
  Milliseconds stop_limit{10000};  // for each process to end by itself
  Milliseconds silence{0};         // a daemon or listener that answers nothing for so long is killed; 0: never
};

// The process that holds what the outside holds on to (listening sockets, mounts) and keeps the daemon, the listener
// and the mount workers alive. It lives while somebody has a lease: a connection of `hitfs run`, a `start`, a mount, or
// being in the foreground; then for `idle` more. Requests and answers are in cli/README.md.
//
// One thread (the loop's) decides everything; two more run what may block (mounts; the flush at the end).
class Supervisor {
 public:
  // Takes supervisor.lock and listens. `unavailable` when another one has the store.
  static Result<std::unique_ptr<Supervisor>> create(EventLoop& loop, SupervisorOptions options, SupervisorParts parts);
  ~Supervisor();

  // Starts what `serve` or `started` need; an error ends it and arrives in failure().
  void begin();
  // As `hitfs stop`.
  void end_by_signal();
  // Why a supervisor in the foreground ended without having been asked to; empty otherwise.
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  enum class Phase {
    running,
    unmounting,  // nothing new comes in from here on, but for the idle end until it flushes
    flushing,    // the push queue empties; a lease calls an idle end off
    stopping,    // fronts end, then the daemon
  };
  // Somebody who waits for the daemon, and perhaps for the endpoint.
  struct Pending {
    ConnectionId connection;
    bool endpoint;
    std::function<void(Status)> ready;
  };

  Supervisor(EventLoop& loop, SupervisorOptions options, SupervisorParts parts);
  Status open();
  Status open_serve_socket();

  void on_request(ConnectionId connection, const Json& request);
  void on_closed(ConnectionId connection);
  void take_lease(ConnectionId connection, const Json& request);
  void start(ConnectionId connection);
  void mount(ConnectionId connection, const Json& request);
  void unmount(ConnectionId connection, const Json& request);
  void stop(ConnectionId connection, const Json& request);
  void answer(ConnectionId connection, Json message);
  void refuse(ConnectionId connection, const Error& error);
  [[nodiscard]] Json endpoint_answer() const;
  [[nodiscard]] Json describe() const;

  void when_ready(Pending pending);
  void settle();
  void ensure_listener(std::unique_ptr<Child>& child, const ListenerOptions& options, int socket,
                       std::string_view name);
  Status ensure_endpoint();
  void ensure_daemon();
  void begin_foreground();
  void on_listener_ready(const std::string& name);
  void on_listener_failed(const std::string& name, const std::string& why);

  [[nodiscard]] bool in_use() const;
  void look_for_idleness();
  enum class End { idle, asked };
  void end(End kind, Milliseconds flush_limit);
  void flush_and_stop(Milliseconds flush_limit);
  void stop_fronts();
  void stop_daemon();
  void renew();
  void tick();
  void look_for_silence();
  void watch_over(Child* child, std::optional<HealthProbe>& probe, const HealthProbe::Connect& connect);

  EventLoop& loop_;
  SupervisorOptions options_;
  SupervisorParts parts_;
  BoundedLog log_;
  FdStore kept_;
  std::optional<FileLock> lock_;
  Background mount_work_, flush_work_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<MountTable> mounts_;
  std::unique_ptr<Child> daemon_, listener_, server_;
  std::optional<HealthProbe> daemon_probe_, listener_probe_;  // while it serves
  std::string daemon_why_, listener_why_, server_why_;        // set while failed
  std::optional<Endpoint> endpoint_;
  bool endpoint_served_ = false;        // somebody may have its address
  std::optional<MissAnswerer> misses_;  // in the listener's place while that is given up
  UniqueFd serve_socket_;
  std::set<ConnectionId> leases_;
  bool started_ = false;  // `hitfs start`
  std::string session_;   // the build session that `start` began, for `stop`
  Json build_;            // what `start` knew of it; nobody reads it here
  std::vector<Pending> pending_;
  Phase phase_ = Phase::running;
  std::optional<End> ending_;
  EventLoop::TimerId idle_timer_ = 0;
  MonotonicTime since_ = system_clock().now();
  std::string failure_;
};

}  // namespace hitfs
