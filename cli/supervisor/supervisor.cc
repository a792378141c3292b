#include "cli/supervisor/supervisor.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "cli/supervisor/service_notify.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/base/process.h"
#include "store/base/socket.h"
#include "store/key.h"

namespace hitfs {

namespace {

constexpr std::string_view kListener = "listener";
// A listener that was given up is tried again after this; until then the endpoint knows only misses.
constexpr Milliseconds kListenerRest{60'000};

constexpr log::Logger kLog{log::Folder::cli};
constexpr Milliseconds kTick{1000};
constexpr Milliseconds kFirstLease{10000};

Error ending_error() { return Error{Code::unavailable, kEnding}; }

Json mounted_at(const std::filesystem::path& place) {
  Json said;
  said["mount_point"] = percent_encode(place.native());
  return said;
}

}  // namespace

Result<std::unique_ptr<Supervisor>> Supervisor::create(EventLoop& loop, SupervisorOptions options,
                                                       SupervisorParts parts) {
  std::unique_ptr<Supervisor> supervisor(new Supervisor(loop, std::move(options), std::move(parts)));
  if (auto opened = supervisor->open(); !opened) return std::move(opened).error();
  return supervisor;
}

Supervisor::Supervisor(EventLoop& loop, SupervisorOptions options, SupervisorParts parts)
    : loop_(loop),
      options_(std::move(options)),
      parts_(std::move(parts)),
      log_(options_.log_file),
      mount_work_(loop),
      flush_work_(loop) {}

Supervisor::~Supervisor() {
  if (!lock_) return;
  // While the lock is still ours: the next supervisor makes its own.
  [[maybe_unused]] auto gone = io::unlink(options_.store.supervisor_socket(), "socket");
}

Status Supervisor::open() {
  auto lock = FileLock::acquire(options_.store.supervisor_lock());
  if (!lock && lock.error().code == Code::unavailable) {
    return Error{Code::unavailable, "another hitfs runs with the store " + options_.store.root.string()};
  }
  if (!lock) return std::move(lock).error();
  lock_.emplace(std::move(*lock));
  auto socket = listen_unix(options_.store.supervisor_socket(), UnixSocket::messages);
  if (!socket) return std::move(socket).error();
  if (options_.serve) {
    auto address = TcpAddress::parse(options_.serve->address);
    if (!address) return std::move(address).error();
    auto listening = listen_tcp(*address);
    if (!listening) return in_context("serve", std::move(listening).error());
    auto port = local_port(listening->get());
    if (!port) return std::move(port).error();
    address->port = *port;  // the kernel's choice for 0
    options_.serve->address = address->text();
    serve_socket_ = std::move(*listening);
    kLog.info("serving address={}", options_.serve->address);
  }
  control_ = std::make_unique<ControlServer>(
      loop_, std::move(*socket),
      ControlServer::Handler{[this](ConnectionId id, const Json& request) { on_request(id, request); },
                             [this](ConnectionId id) { on_closed(id); }});
  if (parts_.mounts != nullptr) {
    mounts_ = std::make_unique<MountTable>(
        loop_, mount_work_, *parts_.mounts, options_.store, parts_.workers,
        [this](const std::string& line) { log_.line(line); }, [this] { look_for_idleness(); });
  }
  return Ok{};
}

void Supervisor::begin() {
  loop_.on_terminate([this] { end_by_signal(); });
  tick();
  if (options_.serve) {
    ensure_daemon();
    ensure_listener(server_, *options_.serve, serve_socket_.get(), "serve");
  }
  if (options_.started) begin_foreground();
  look_for_idleness();
}

void Supervisor::begin_foreground() {
  started_ = true;
  when_ready({0, true, [this](const Status& ready) {
                if (ready) return notify_service_manager("READY=1");
                failure_ = ready.error().message;
                end(End::asked, Milliseconds(0));
              }});
}

// --- requests ---

void Supervisor::on_request(ConnectionId connection, const Json& request) {
  auto operation = request["op"].text_or("");
  if (operation == "status") return answer(connection, describe());
  if (phase_ != Phase::running && ending_ != End::idle) return refuse(connection, ending_error());
  if (phase_ == Phase::stopping || phase_ == Phase::unmounting) return refuse(connection, ending_error());
  if (operation == "lease") return take_lease(connection, request);
  if (operation == "start") return start(connection);
  if (operation == "mount") return mount(connection, request);
  if (operation == "unmount") return unmount(connection, request);
  if (operation == "session") {
    session_ = request["session"].text_or("");
    build_ = request["build"];
    return answer(connection, {});
  }
  if (operation == "stop") return stop(connection, request);
  refuse(connection, Error{Code::invalid_argument, "unknown operation \"" + operation + "\""});
}

void Supervisor::on_closed(ConnectionId connection) {
  leases_.erase(connection);
  std::erase_if(pending_, [connection](const Pending& one) { return one.connection == connection; });
  if (mounts_) mounts_->release(connection);
  look_for_idleness();
}

void Supervisor::take_lease(ConnectionId connection, const Json& request) {
  leases_.insert(connection);
  bool endpoint = request["endpoint"].bool_or(false);
  when_ready({connection, endpoint, [this, connection, endpoint](const Status& ready) {
                if (ready) return answer(connection, endpoint ? endpoint_answer() : Json(Json::Object{}));
                leases_.erase(connection);
                refuse(connection, ready.error());
                look_for_idleness();
              }});
}

void Supervisor::start(ConnectionId connection) {
  when_ready({connection, true, [this, connection](const Status& ready) {
                if (!ready) return refuse(connection, ready.error());
                started_ = true;
                answer(connection, endpoint_answer());
              }});
}

void Supervisor::mount(ConnectionId connection, const Json& message) {
  if (!mounts_) {
    return refuse(connection, Error{Code::unavailable,
                                    "this hitfs was built without FUSE; hitfs run and hitfs start "
                                    "serve the endpoint without it"});
  }
  auto request = MountRequest::from(message);
  if (!request) return refuse(connection, request.error());
  auto holder = message["for_good"].bool_or(false) ? MountTable::kForGood : connection;
  when_ready({connection, false, [this, connection, holder, request = *request](const Status& ready) {
                if (!ready) return refuse(connection, ready.error());
                mounts_->mount(request, holder, [this, connection](const Result<std::filesystem::path>& place) {
                  if (!place) refuse(connection, place.error());
                  if (place) answer(connection, mounted_at(*place));
                  look_for_idleness();
                });
              }});
}

void Supervisor::unmount(ConnectionId connection, const Json& message) {
  auto place = percent_decode(message["mount_point"].text_or(""));
  if (!mounts_ || !place) return refuse(connection, Error{Code::not_found, "nothing is mounted"});
  auto holder = message["for_good"].bool_or(false) ? MountTable::kForGood : connection;
  mounts_->unmount(*place, holder, [this, connection, holder](const Status& unmounted) {
    if (!unmounted) return refuse(connection, unmounted.error());
    // The last `unmount` ends everything at once: the store is then free to be moved.
    bool last = holder == MountTable::kForGood && !in_use();
    Json said;
    said["ending"] = last;
    answer(connection, said);
    if (last) end(End::asked, options_.flush);
  });
}

void Supervisor::stop(ConnectionId connection, const Json& message) {
  Json said;
  said["ending"] = true;
  answer(connection, said);
  started_ = false;
  Endpoint::rotate(options_.store);
  end(End::asked, Milliseconds(message["flush_ms"].integer_or(options_.flush.count())));
}

void Supervisor::answer(ConnectionId connection, Json message) {
  message["ok"] = true;
  control_->send(connection, message);
}

void Supervisor::refuse(ConnectionId connection, const Error& error) {
  Json message;
  message["ok"] = false;
  message["code"] = to_string(error.code);
  message["error"] = error.message;
  control_->send(connection, message);
}

Json Supervisor::endpoint_answer() const {
  Json message;
  message["url"] = endpoint_->url();
  message["token"] = endpoint_->token;
  message["settings"] = options_.settings;
  return message;
}

Json Supervisor::describe() const {
  Json message;
  message["pid"] = ::getpid();
  message["uptime_ms"] = std::chrono::duration_cast<Milliseconds>(system_clock().now() - since_).count();
  message["settings"] = options_.settings;
  message["leases"] = leases_.size();
  message["started"] = started_;
  message["session"] = session_;
  message["build"] = build_;
  message["ending"] = phase_ != Phase::running;
  if (endpoint_) message["endpoint"] = endpoint_->url();
  if (options_.serve) message["serve"] = options_.serve->address;
  if (daemon_) message["daemon"] = daemon_->describe();
  if (listener_) message["listener"] = listener_->describe();
  if (server_) message["server"] = server_->describe();
  message["mounts"] = mounts_ ? mounts_->describe() : Json(Json::Array{});
  message["ok"] = true;
  return message;
}

// --- children ---

void Supervisor::ensure_daemon() {
  if (!daemon_) {
    ChildSpec spec{"daemon", parts_.program, parts_.daemon_arguments, options_.daemon_options, {}, parts_.environment};
    Child::Observer observer{[this] { settle(); },
                             [this](const std::string& why) {
                               daemon_why_ = why;
                               settle();
                             },
                             [this](const std::string& line) { log_.line(line); }};
    daemon_ = std::make_unique<Child>(loop_, std::move(spec), parts_.daemon_policy, std::move(observer));
  }
  auto state = daemon_->state();
  if (state == Child::State::stopped || state == Child::State::failed) daemon_->start();
}

void Supervisor::ensure_listener(std::unique_ptr<Child>& child, const ListenerOptions& options, int socket,
                                 std::string_view name) {
  if (child && child->state() != Child::State::stopped && child->state() != Child::State::failed) return;
  ChildSpec spec{std::string(name), parts_.program,    parts_.listener_arguments, parts_.listener_json(options),
                 {socket},          parts_.environment};
  if (name == kListener) misses_.reset();  // one of them accepts
  Child::Observer observer{[this, name = std::string(name)] { on_listener_ready(name); },
                           [this, name = std::string(name)](const std::string& why) { on_listener_failed(name, why); },
                           [this](const std::string& line) { log_.line(line); }};
  child = std::make_unique<Child>(loop_, std::move(spec), parts_.listener_policy, std::move(observer));
  child->start();
}

Status Supervisor::ensure_endpoint() {
  if (!endpoint_) {
    auto opened = Endpoint::open(options_.store, options_.port);
    if (!opened) return in_context("endpoint", std::move(opened).error());
    endpoint_.emplace(std::move(*opened));
  }
  auto options = options_.loopback;
  options.kind = ListenerKind::loopback;
  options.address = endpoint_->address();
  options.loopback_token = endpoint_->token;
  ensure_listener(listener_, options, endpoint_->socket.get(), kListener);
  return Ok{};
}

void Supervisor::on_listener_ready(const std::string& name) {
  if (name == kListener) endpoint_served_ = true;
  settle();
}

void Supervisor::on_listener_failed(const std::string& name, const std::string& why) {
  if (name == "serve") {
    failure_ = "serve: " + why;
    return end(End::asked, options_.flush);
  }
  listener_why_ = why;
  settle();
  // Nobody has the address of an endpoint that never served; whoever asks next gets a new one.
  if (!endpoint_served_) return endpoint_.reset();
  // Build tools have it: a socket that nobody accepts on would let them wait for ever, a refusal would fail them.
  misses_.emplace(loop_, endpoint_->socket.get());
  loop_.after(kListenerRest, [this] {
    if (phase_ == Phase::running && misses_) [[maybe_unused]]
      auto begun = ensure_endpoint();
  });
}

void Supervisor::when_ready(Pending pending) {
  ensure_daemon();
  if (pending.endpoint) {
    if (auto begun = ensure_endpoint(); !begun) return pending.ready(begun);
  }
  pending_.push_back(std::move(pending));
  settle();
}

void Supervisor::settle() {
  std::vector<std::pair<Pending, Status>> settled;
  for (auto one = pending_.begin(); one != pending_.end();) {
    auto listener = listener_ ? listener_->state() : Child::State::stopped;
    Status how = Ok{};
    if (daemon_->state() == Child::State::failed) {
      how = Error{Code::unavailable, daemon_why_};
    } else if (one->endpoint && listener == Child::State::failed) {
      how = Error{Code::unavailable, "endpoint: " + listener_why_};
    } else if (daemon_->state() != Child::State::ready || (one->endpoint && listener != Child::State::ready)) {
      ++one;
      continue;
    }
    settled.emplace_back(std::move(*one), std::move(how));
    one = pending_.erase(one);
  }
  for (auto& [pending, how] : settled) pending.ready(how);
  if (server_ && daemon_->state() == Child::State::failed && failure_.empty()) {
    failure_ = daemon_why_;
    return end(End::asked, Milliseconds(0));
  }
  if (server_ && server_->state() == Child::State::ready && daemon_->state() == Child::State::ready) {
    notify_service_manager("READY=1");
  }
  if (!settled.empty()) look_for_idleness();
}

// --- the end ---

bool Supervisor::in_use() const {
  return !leases_.empty() || started_ || options_.serve || !pending_.empty() || (mounts_ && mounts_->held());
}

void Supervisor::look_for_idleness() {
  if (in_use()) {
    if (idle_timer_ != 0) loop_.cancel(std::exchange(idle_timer_, 0));
    return;
  }
  if (phase_ != Phase::running) return;
  // With a daemon that cannot start there is nothing to keep warm.
  if (daemon_ && daemon_->state() == Child::State::failed) return end(End::idle, Milliseconds(0));
  if (idle_timer_ != 0) return;
  // Before the first lease its starter needs a moment to connect.
  auto pause = daemon_ ? options_.idle : std::max(options_.idle, kFirstLease);
  idle_timer_ = loop_.after(pause, [this] {
    idle_timer_ = 0;
    end(End::idle, options_.flush);
  });
}

void Supervisor::end(End kind, Milliseconds flush_limit) {
  if (phase_ == Phase::stopping || (phase_ != Phase::running && ending_ == End::asked)) return;
  bool already_flushing = phase_ == Phase::flushing;
  ending_ = kind;
  kLog.info("ending why={} flush_ms={}", kind == End::idle ? "idle" : "asked", flush_limit.count());
  notify_service_manager("STOPPING=1");
  if (already_flushing) return;  // its answer sees what is asked for now
  phase_ = Phase::unmounting;
  if (!mounts_) return flush_and_stop(flush_limit);
  mounts_->unmount_all([this, flush_limit] { flush_and_stop(flush_limit); });
}

void Supervisor::flush_and_stop(Milliseconds flush_limit) {
  phase_ = Phase::flushing;
  if (!daemon_ || daemon_->state() != Child::State::ready || flush_limit.count() <= 0) return stop_fronts();
  flush_work_.run<Status>([flush = parts_.flush, flush_limit] { return flush(flush_limit); },
                          [this](const Status& flushed) {
                            if (!flushed) kLog.warn("flush why=\"{}\"", flushed.error().message);
                            if (ending_ == End::idle && in_use()) {
                              phase_ = Phase::running;
                              ending_.reset();
                              return;
                            }
                            stop_fronts();
                          });
}

void Supervisor::stop_fronts() {
  phase_ = Phase::stopping;
  // One that was mounted while an idle end flushed.
  if (mounts_ && !mounts_->empty()) return mounts_->unmount_all([this] { stop_fronts(); });
  auto left = std::make_shared<int>(1);
  auto one_less = [this, left] {
    if (--*left == 0) stop_daemon();
  };
  for (auto* front : {&listener_, &server_}) {
    if (!*front) continue;
    ++*left;
    (*front)->stop(parts_.stop_limit, one_less);
  }
  one_less();
}

void Supervisor::stop_daemon() {
  if (!daemon_) return loop_.stop();
  daemon_->stop(parts_.stop_limit, [this] { loop_.stop(); });
}

void Supervisor::end_by_signal() {
  // A service manager's patience is limited, and what is queued stays queued.
  constexpr Milliseconds kMost{30000};
  end(End::asked, std::min(options_.flush, kMost));
}

void Supervisor::look_for_silence() {
  watch_over(daemon_.get(), daemon_probe_,
             [this] { return connect_unix_now(options_.store.daemon_socket(), UnixSocket::stream); });
  watch_over(listener_.get(), listener_probe_, [this] { return connect_loopback_now(endpoint_->port); });
}

// A process that answers nobody is killed, as a worker is that leaves requests unanswered; its successor has what waits
// at its socket.
void Supervisor::watch_over(Child* child, std::optional<HealthProbe>& probe, const HealthProbe::Connect& connect) {
  if (child == nullptr || child->state() != Child::State::ready) return probe.reset();
  if (!probe) probe.emplace(loop_, child->pid(), connect);
  probe->ask();
  auto silent = probe->silent_for();
  if (silent < parts_.silence) return;
  if (silent < parts_.workers.disk_patience && (probe->works() || waits_for_disk(child->pid()))) return;
  kLog.error("child-silent name={} unanswered_ms={}", child->name(), silent.count());
  child->kill();
  probe.reset();
}

void Supervisor::tick() {
  log_.look_at_size();
  if (mounts_) mounts_->look_for_stalls();
  if (phase_ == Phase::running && parts_.silence.count() > 0) look_for_silence();
  if (service_watchdog_interval()) notify_service_manager("WATCHDOG=1");
  loop_.after(kTick, [this] { tick(); });
}

}  // namespace hitfs
