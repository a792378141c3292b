#include "sync/daemon.h"

#include <signal.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "store/base/log.h"
#include "store/base/process.h"
#include "store/base/socket.h"
#include "sync/control.h"
#include "sync/tree_form.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr size_t kFetchThreads = 32;
// The signal by which POST /v1/stop ends the main thread's wait.
constexpr int kStopSignal = SIGTERM;

// What a build made here and others may have: it belongs into the run list.
bool is_shared_result(const Entry& entry) {
  return entry.origin == "local" && entry.exit_code == 0 && entry.key.space != kListSpace;
}

// Everything the daemon consists of, in the order in which it is built; destroyed in the opposite one.
class Daemon {
 public:
  static Result<std::unique_ptr<Daemon>> start(const DaemonOptions& options);
  ~Daemon();

 private:
  Daemon() = default;
  Status open(const DaemonOptions& options);
  void build_parts(const DaemonOptions& options);
  void note_result(const Entry& entry);
  [[nodiscard]] bool may_come_back(const Entry& retired, const std::string& why) const;
  Status serve();
  void push_again();

  StorePaths paths_;
  std::unique_ptr<EntryStore> store_;
  std::unique_ptr<Scratch> scratch_;
  std::unique_ptr<RemoteSet> remotes_;
  std::unique_ptr<TimerQueue> timers_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<Announcements> announcements_;
  std::unique_ptr<Sessions> sessions_;
  std::unique_ptr<Retirement> retirement_;
  std::unique_ptr<Fetcher> fetcher_;
  std::unique_ptr<RunLists> lists_;
  std::unique_ptr<Pusher> pusher_;
  Guarded<Pusher*> running_pusher_;  // for the remotes' threads, which live longer
  std::unique_ptr<Prewarmer> prewarmer_;
  std::unique_ptr<Handover> handover_;
  std::unique_ptr<Control> control_;
  UniqueFd socket_;
  std::unique_ptr<HttpServer> server_;
  std::jthread at_start_;  // checks what a power cut may have taken, and looks for what was evicted; ends first
};

Result<std::unique_ptr<Daemon>> Daemon::start(const DaemonOptions& options) {
  std::unique_ptr<Daemon> daemon(new Daemon());
  if (auto opened = daemon->open(options); !opened) return std::move(opened).error();
  daemon->build_parts(options);
  if (auto serving = daemon->serve(); !serving) return std::move(serving).error();
  return daemon;
}

// First nobody asks any more, then nothing happens by itself any more; the rest goes in the opposite order of its
// making.
Daemon::~Daemon() {
  server_.reset();
  *running_pusher_.lock() = nullptr;
  if (timers_) timers_->stop();
}

Status Daemon::open(const DaemonOptions& options) {
  paths_ = options.store;
  auto store = EntryStore::open(paths_, {.limits = options.limits});
  if (!store) return std::move(store).error();
  store_ = *std::move(store);
  auto scratch = Scratch::open(paths_.staging("daemon"));
  if (!scratch) return std::move(scratch).error();
  scratch_ = *std::move(scratch);
  auto remotes = RemoteSet::open(options, [this] {
    if (auto pusher = running_pusher_.lock(); *pusher) (*pusher)->wake();
  });
  if (!remotes) return std::move(remotes).error();
  remotes_ = *std::move(remotes);
  return Ok{};
}

// A mount of layout nx is not asked for what its rows do not name; the endpoint, whose entries are artifacts, is.
void Daemon::note_result(const Entry& entry) {
  sessions_->stored(entry.key);
  if (entry.key.space == "nx" && !entry.artifact) sessions_->missed_unasked(entry.key);
}

void Daemon::build_parts(const DaemonOptions& options) {
  timers_ = std::make_unique<TimerQueue>();
  events_ = std::make_unique<EventLog>(*timers_);
  announcements_ = std::make_unique<Announcements>([this] { events_->add(DaemonEvent::Kind::announced, {}, 0); });
  sessions_ = std::make_unique<Sessions>(options.patience.session_budget);
  retirement_ = std::make_unique<Retirement>(*store_, *events_, *timers_, paths_);
  store_->observe({.committed =
                       [this](const Entry& entry) {
                         if (is_shared_result(entry)) note_result(entry);
                         announcements_->drop(entry.key);
                         events_->add(DaemonEvent::Kind::committed, entry.key, entry.id);
                       },
                   .retired =
                       [this](const Entry& entry, const std::string& why) {
                         store_->access_log().record(entry.key, AccessKind::evicted, why);
                         retirement_->on_retired(entry);
                         if (may_come_back(entry, why)) announcements_->add({entry.key});
                       }});
  retirement_->resume();
  GuardLimits limits{.artifact_bytes = options.max_artifact_bytes, .unpacked_bytes = options.max_unpacked_bytes};
  fetcher_ = std::make_unique<Fetcher>(
      Fetcher::Parts{*store_, *remotes_, *scratch_, *sessions_, *timers_, [this] { return mounts_want_trees(paths_); }},
      limits, kFetchThreads);
  auto order = options.continuous_integration ? PushQueue::Order::smallest_first : PushQueue::Order::oldest_first;
  lists_ = std::make_unique<RunLists>(*store_, *remotes_, *scratch_, [this] { pusher_->wake(); });
  pusher_ = std::make_unique<Pusher>(Pusher::Parts{*store_, *remotes_, *scratch_, *sessions_, lists_.get()},
                                     Pusher::Options{.order = order, .on_push_failed = options.on_push_failed});
  *running_pusher_.lock() = pusher_.get();
  auto* announced = remotes_->any_readable() ? announcements_.get() : nullptr;
  prewarmer_ = std::make_unique<Prewarmer>(Prewarmer::Parts{*store_, *fetcher_, *lists_, announced});
  handover_ = std::make_unique<Handover>(*store_, *remotes_, paths_, limits, [this] { pusher_->wake(); });
}

// What had to make room was on a remote before, or is there now; so is what was damaged here.
bool Daemon::may_come_back(const Entry& retired, const std::string& why) const {
  return why != kReplaced && retired.exit_code == 0 && retired.key.space != kListSpace && remotes_->any_readable();
}

Status Daemon::serve() {
  control_ = std::make_unique<Control>(Control::Parts{*store_, *remotes_, *scratch_, *fetcher_, *pusher_, *handover_,
                                                      *retirement_, *events_, *announcements_, *sessions_, *lists_,
                                                      *prewarmer_, [] { ::kill(::getpid(), kStopSignal); }});
  // The store's lock is held, so a socket file that is there belongs to a dead daemon.
  auto socket = listen_unix(paths_.daemon_socket(), UnixSocket::stream);
  if (!socket) return std::move(socket).error();
  socket_ = *std::move(socket);
  auto server = HttpServer::start(socket_.get(), *control_, {.threads = 2, .max_connections = 4096});
  if (!server) return std::move(server).error();
  server_ = *std::move(server);
  at_start_ = std::jthread([this](const std::stop_token& stop) {
    auto checked = store_->check_after_reboot([&](uint64_t) { return !stop.stop_requested(); });
    if (!checked) kLog.error("check after reboot error=\"{}\"", checked.error().message);
    if (checked && !stop.stop_requested()) push_again();
    if (remotes_->any_readable()) announcements_->add(evicted_before(store_->access_log(), store_->reader(), stop));
  });
  return Ok{};
}

// What waited for its push when the index was lost, now that it is known to be sound.
void Daemon::push_again() {
  auto assigned = store_->push_queue().assign(remotes_->push_targets(), system_clock().unix_ms());
  if (!assigned) return kLog.error("push queue error=\"{}\"", assigned.error().message);
  pusher_->wake();
}

}  // namespace

int run_daemon(const DaemonOptions& options, int ready_fd) {
  protect_process();
  EndSignals signals;
  raise_file_limit();

  auto daemon = Daemon::start(options);
  if (!daemon) {
    kLog.error("daemon store={} error=\"{}\"", options.store.root.string(), daemon.error().message);
    return 1;
  }
  kLog.info("daemon started store={} remotes={}", options.store.root.string(), options.remotes.size());
  tell_ready(ready_fd);
  kLog.info("daemon stops signal={}", signals.wait());
  return 0;
}

}  // namespace hitfs
