#include "sync/listener/listener.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/base/process.h"
#include "sync/listener/cache_handler.h"
#include "sync/listener/event_follower.h"
#include "sync/listener/late_store_reader.h"
#include "sync/listener/token_file.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr size_t kQuickThreads = 4;
constexpr size_t kWaitingThreads = 32;
constexpr size_t kMostConnections = 4096;
// Requests that are nearly done may end by themselves; then the rest is told, and has this long to hear it.
constexpr Milliseconds kFirstGrace{500};
constexpr Milliseconds kLastGrace{2'000};
constexpr size_t kMostPem = 1 << 20;

class Listener {
 public:
  static Result<std::unique_ptr<Listener>> start(const ListenerOptions& options, const std::vector<int>& sockets);
  ~Listener();

 private:
  explicit Listener(const ListenerOptions& options);
  Status serve(const ListenerOptions& options, const std::vector<int>& sockets);

  LateStoreReader reader_;
  std::unique_ptr<DaemonClient> daemon_;
  UploadFolder uploads_;
  std::unique_ptr<UseReporter> uses_;
  std::unique_ptr<EventFollower> events_;
  std::stop_source stopping_;
  ThreadPool quick_{kQuickThreads};
  ThreadPool waiting_{kWaitingThreads};
  WorkCount work_;
  std::unique_ptr<Access> access_;
  std::unique_ptr<CacheHandler> handler_;
  std::vector<std::unique_ptr<HttpServer>> servers_;
};

// Names the staging folder, and the listener to the daemon.
std::string front_name(ListenerKind kind) { return kind == ListenerKind::serve ? "serve" : "endpoint"; }

Result<std::unique_ptr<Access>> open_access(const ListenerOptions& options) {
  if (options.kind == ListenerKind::serve) {
    auto tokens = TokenAccess::open(options.tokens_file);
    if (!tokens) return std::move(tokens).error();
    return std::unique_ptr<Access>(*std::move(tokens));
  }
  if (options.loopback_token.empty()) {
    return Error{Code::invalid_argument, "the endpoint has no token: every program on this machine could use it"};
  }
  return std::unique_ptr<Access>(std::make_unique<LoopbackAccess>(options.loopback_token));
}

HostCheck hosts_for(const ListenerOptions& options) {
  if (options.kind == ListenerKind::loopback) {
    auto further = options.allowed_hosts;
    further.push_back(options.address);
    return HostCheck::loopback_and(further);
  }
  return options.allowed_hosts.empty() ? HostCheck::any() : HostCheck::loopback_and(options.allowed_hosts);
}

Result<HttpServerOptions> server_options(const ListenerOptions& options) {
  HttpServerOptions server;
  server.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 2u, 8u));
  server.max_connections = kMostConnections;
  if (options.tls_certificate_file.empty() && options.tls_key_file.empty()) return server;
  if (options.tls_certificate_file.empty() || options.tls_key_file.empty()) {
    return Error{Code::invalid_argument, "TLS needs both --tls-cert and --tls-key"};
  }
  auto certificate = io::read_file(options.tls_certificate_file, kMostPem);
  if (!certificate) return in_context("--tls-cert", std::move(certificate).error());
  auto key = io::read_file(options.tls_key_file, kMostPem);
  if (!key) return in_context("--tls-key", std::move(key).error());
  server.tls_certificate_pem = *std::move(certificate);
  server.tls_key_pem = *std::move(key);
  return server;
}

Listener::Listener(const ListenerOptions& options)
    : reader_(options.store),
      daemon_(DaemonClient::open(options.store)),
      uploads_(options.store, front_name(options.kind)) {
  uses_ = std::make_unique<UseReporter>(*daemon_, uploads_.front());
  events_ = std::make_unique<EventFollower>(*daemon_, uploads_.front(), [this] { uses_->flush(); });
}

Status Listener::serve(const ListenerOptions& options, const std::vector<int>& sockets) {
  auto access = open_access(options);
  if (!access) return std::move(access).error();
  access_ = *std::move(access);
  auto http = server_options(options);
  if (!http) return std::move(http).error();
  uploads_.clear();
  CacheParts parts{
      reader_, *daemon_, uploads_, *uses_, quick_, waiting_, work_, options.daemon_patience, stopping_.get_token()};
  CacheRules rules{options.kind, options.max_artifact_bytes};
  handler_ = std::make_unique<CacheHandler>(parts, rules, hosts_for(options), *access_);
  for (int socket : sockets) {
    auto server = HttpServer::start(socket, *handler_, *http);
    if (!server) return std::move(server).error();
    servers_.push_back(*std::move(server));
  }
  return Ok{};
}

Result<std::unique_ptr<Listener>> Listener::start(const ListenerOptions& options, const std::vector<int>& sockets) {
  auto listener = std::unique_ptr<Listener>(new Listener(options));
  if (auto served = listener->serve(options, sockets); !served) return std::move(served).error();
  return listener;
}

Listener::~Listener() {
  for (auto& server : servers_) server->finish(kFirstGrace);
  uses_->flush();
  stopping_.request_stop();
  daemon_->interrupt();
  for (auto& server : servers_) server->finish(kLastGrace);
  servers_.clear();
  // Every wait is over by now: what still runs ends by itself.
  work_.wait_none();
}

}  // namespace

int run_listener(const ListenerOptions& options, std::vector<int> listening_sockets, int ready_fd) {
  protect_process();
  EndSignals signals;
  raise_file_limit();

  auto listener = Listener::start(options, listening_sockets);
  if (!listener) {
    kLog.error("listener address={} error=\"{}\"", options.address, listener.error().message);
    return 1;
  }
  kLog.info("listener started kind={} address={}", front_name(options.kind), options.address);
  tell_ready(ready_fd);
  kLog.info("listener stops signal={}", signals.wait());
  return 0;
}

}  // namespace hitfs
