#include "sync/listener/http_server.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <unordered_map>

#include "store/base/guarded.h"
#include "store/base/log.h"
#include "store/base/process.h"
#include "sync/listener/http_framing.h"
#include "sync/listener/idle_watch.h"
#include "sync/thread_pool.h"

// Threads: `options.threads` of libmicrohttpd call the handler and never wait; kBodyThreads run the bodies that may
// wait for a disk; one watches idle connections. A connection rests ("suspended") while a body thread works for it or
// while its answer is not ready; whoever is done wakes it.
//
// What the library (0.9.75) needs: raw paths by an unescape callback that does nothing, checks of its own
// for the framing, no answer from within a body, and at the end: wake everything, quiesce, stop.
namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
// The buffers of a connection. A larger one takes bodies in larger pieces, but the library wipes all of it after every
// request, so that each open connection really holds this much.
constexpr size_t kConnectionMemory = 64 << 10;
constexpr int kBodyThreads = 4;
constexpr Milliseconds kLastAnswers{1000};

// One request under way, shared by the library's callbacks and the responder.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(MHD_Connection* connection, const char* raw_target)
      : connection(connection), raw_target(raw_target), target(raw_target) {}

  MHD_Connection* const connection;
  const char* const raw_target;  // in the connection's buffer; for its address only
  const std::string target;
  // Used by the thread of the connection, and while it rests by one body thread.
  std::unique_ptr<HttpTransaction> transaction;
  bool headers_seen = false;
  bool keeps_body = true;
  size_t piece_size = 0;   // with a body thread
  size_t pieces_done = 0;  // before it, of what is in the connection's buffer
  uint64_t drained = 0;
  uint64_t drain_limit = 0;

  struct State {
    bool resting = false;
    bool stopping = false;  // never rests again
    bool ended = false;     // the library has let go of the connection
    bool piece_done = false;
    std::optional<HttpReply> reply;
  };
  Guarded<State> state;

  void send(HttpReply reply) {
    auto now = state.lock();
    if (now->ended || now->reply) return;
    now->reply = std::move(reply);
    wake_locked(*now);
  }

  void piece_done() {
    auto now = state.lock();
    now->piece_done = true;
    wake_locked(*now);
  }

  void wake_locked(State& now) {
    if (std::exchange(now.resting, false)) MHD_resume_connection(connection);
  }
};

using ExchangePtr = std::shared_ptr<Exchange>;

class Server final : public HttpServer {
 public:
  Server(HttpHandler& handler, const HttpServerOptions& options)
      : handler_(handler), options_(options), idle_(options.idle_timeout) {}
  ~Server() override;

  Status listen(int socket);
  bool finish(Milliseconds at_most) override;
  size_t requests_under_way() override { return under_way_.lock()->size(); }

 private:
  MHD_Result on_request(Exchange& exchange, const char* method, const char* version, const char* data, size_t* size);
  MHD_Result on_headers(Exchange& exchange, const char* method, const char* version);
  MHD_Result on_body(Exchange& exchange, const char* data, size_t* size);
  MHD_Result on_slow_body(Exchange& exchange, const char* data, size_t* size);
  MHD_Result on_complete(Exchange& exchange);
  MHD_Result answer_or_rest(Exchange& exchange);
  MHD_Result refuse(Exchange& exchange, const std::string& why);
  static MHD_Result queue(Exchange& exchange, HttpReply reply);
  void quiesce();

  // Callbacks of the library; `cls` is the Server.
  static void* on_target(void* cls, const char* target, MHD_Connection* connection);
  static MHD_Result on_access(void* cls, MHD_Connection* connection, const char* url, const char* method,
                              const char* version, const char* data, size_t* size, void** context);
  static void on_ended(void* cls, MHD_Connection* connection, void** context, MHD_RequestTerminationCode);
  static void on_connection(void* cls, MHD_Connection* connection, void** context, MHD_ConnectionNotificationCode code);

  HttpHandler& handler_;
  HttpServerOptions options_;
  IdleWatch idle_;
  std::atomic<bool> stopping_{false};  // set while under_way_ is locked
  std::atomic<bool> quiesced_{false};
  Guarded<std::unordered_map<Exchange*, ExchangePtr>> under_way_;
  std::optional<ThreadPool> bodies_{std::in_place, kBodyThreads};
  MHD_Daemon* daemon_ = nullptr;
};

void log_from_library(void*, const char* format, va_list arguments) {
  if (!log::enabled(log::Level::debug)) return;
  char line[512];
  std::vsnprintf(line, sizeof(line), format, arguments);
  std::string_view text(line);
  while (text.ends_with('\n')) text.remove_suffix(1);
  kLog.debug("http-library says={}", text);
}

size_t keep_raw(void*, MHD_Connection*, char* text) { return std::string_view(text).size(); }

MHD_Result collect_header(void* into, MHD_ValueKind, const char* name, size_t name_size, const char* value,
                          size_t value_size) {
  static_cast<HttpHeaders*>(into)->emplace_back(std::string(name, name_size),
                                                value ? std::string(value, value_size) : std::string());
  return MHD_YES;
}

HttpHeaders headers_of(MHD_Connection* connection) {
  HttpHeaders headers;
  MHD_get_connection_values_n(connection, MHD_HEADER_KIND, collect_header, &headers);
  return headers;
}

IdleWatch::Handle& idle_handle(MHD_Connection* connection) {
  const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return *static_cast<IdleWatch::Handle*>(info->socket_context);
}

HttpReply stopping_reply() {
  auto reply = text_reply(503, "the server is stopping\n");
  reply.close = true;
  return reply;
}

// The library cuts the request line into C strings in place, so a NUL byte would silently end the target: then the
// version does not stand right behind it.
bool is_whole_target(const char* raw, const std::string& target, const char* version) {
  return reinterpret_cast<uintptr_t>(raw) + target.size() + 1 == reinterpret_cast<uintptr_t>(version);
}

// The body held back by `Expect: 100-continue`, or larger than the transaction cares to drain.
bool answers_before_body(const HttpRequest& request, const HttpTransaction& transaction, uint64_t drains_at_most) {
  if (transaction.wants_body()) return false;
  if (find_header(request.headers, "expect")) return true;
  return request.content_length.value_or(0) > drains_at_most;
}

MHD_Response* make_response(HttpReply& reply) {
  if (reply.file && reply.file->size > 0) {
    return MHD_create_response_from_fd_at_offset64(reply.file->size, reply.file->file.release(), reply.file->offset);
  }
  return MHD_create_response_from_buffer(reply.body.size(), reply.body.data(), MHD_RESPMEM_MUST_COPY);
}

MHD_Result Server::queue(Exchange& exchange, HttpReply reply) {
  auto* response = make_response(reply);
  if (!response) return MHD_NO;
  for (const auto& [name, value] : reply.headers) MHD_add_response_header(response, name.c_str(), value.c_str());
  if (reply.close) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
  auto queued = MHD_queue_response(exchange.connection, static_cast<unsigned>(reply.status), response);
  MHD_destroy_response(response);
  return queued;
}

MHD_Result Server::refuse(Exchange& exchange, const std::string& why) {
  auto reply = text_reply(400, why + "\n");
  reply.close = true;
  return queue(exchange, std::move(reply));
}

MHD_Result Server::on_request(Exchange& exchange, const char* method, const char* version, const char* data,
                              size_t* size) {
  if (!std::exchange(exchange.headers_seen, true)) return on_headers(exchange, method, version);
  if (!exchange.transaction) return MHD_NO;  // refused, and the answer could not be queued
  if (exchange.state.lock()->reply) return answer_or_rest(exchange);
  if (*size > 0) return on_body(exchange, data, size);
  return on_complete(exchange);
}

MHD_Result Server::on_headers(Exchange& exchange, const char* method, const char* version) {
  idle_.busy(idle_handle(exchange.connection));
  if (!is_whole_target(exchange.raw_target, exchange.target, version)) {
    return refuse(exchange, "the request line holds a NUL byte or more than one space in a row");
  }
  auto request = checked_request(method, version, exchange.target, headers_of(exchange.connection));
  if (!request) return refuse(exchange, request.error().message);
  exchange.transaction = handler_.begin(*request);
  exchange.keeps_body = exchange.transaction->wants_body();
  exchange.drain_limit = std::min(options_.max_drained_bytes, exchange.transaction->drains_at_most());
  if (answers_before_body(*request, *exchange.transaction, exchange.drain_limit)) return on_complete(exchange);
  return MHD_YES;
}

MHD_Result Server::on_body(Exchange& exchange, const char* data, size_t* size) {
  if (stopping_) return MHD_NO;
  bool slow = exchange.keeps_body && exchange.transaction->body_may_block();
  if (slow || exchange.piece_size > 0) return on_slow_body(exchange, data, size);
  if (exchange.keeps_body) {
    exchange.keeps_body = exchange.transaction->body(std::as_bytes(std::span(data, *size))).has_value();
  } else {
    exchange.drained += *size;
    if (exchange.drained > exchange.drain_limit) return MHD_NO;
  }
  *size = 0;
  return MHD_YES;
}

// What arrived stays in the connection's buffer, unconsumed, while a body thread has it: the library does not touch a
// connection that rests, and calls again with the same bytes and perhaps more behind them. Those are the next piece.
// Only when all is done everything is consumed at once: a part that is left by a connection that does not rest is
// forgotten until more comes (libmicrohttpd 0.9.75, seen with TLS).
MHD_Result Server::on_slow_body(Exchange& exchange, const char* data, size_t* size) {
  auto state = exchange.state.lock();
  if (std::exchange(state->piece_done, false)) exchange.pieces_done += std::exchange(exchange.piece_size, 0);
  auto rest = std::as_bytes(std::span(data, *size)).subspan(exchange.pieces_done);
  if (rest.empty() || !exchange.keeps_body) {
    exchange.pieces_done = 0;
    *size = 0;
    return MHD_YES;
  }
  if (state->stopping) return MHD_NO;
  exchange.piece_size = rest.size();
  state->resting = true;
  MHD_suspend_connection(exchange.connection);
  bodies_->submit([shared = exchange.shared_from_this(), rest] {
    shared->keeps_body = shared->transaction->body(rest).has_value();
    shared->piece_done();
  });
  return MHD_YES;
}

MHD_Result Server::on_complete(Exchange& exchange) {
  auto send = [shared = exchange.shared_from_this()](HttpReply reply) { shared->send(std::move(reply)); };
  exchange.transaction->complete(HttpResponder(std::move(send)));
  return answer_or_rest(exchange);
}

MHD_Result Server::answer_or_rest(Exchange& exchange) {
  std::optional<HttpReply> reply;
  {
    auto state = exchange.state.lock();
    if (!state->reply && state->stopping) state->reply = stopping_reply();
    if (!state->reply) {
      state->resting = true;
      MHD_suspend_connection(exchange.connection);
      return MHD_YES;
    }
    reply = std::exchange(state->reply, std::nullopt);
  }
  return queue(exchange, *std::move(reply));
}

void* Server::on_target(void* cls, const char* target, MHD_Connection* connection) {
  auto exchange = std::make_shared<Exchange>(connection, target);
  auto* server = static_cast<Server*>(cls);
  auto under_way = server->under_way_.lock();
  exchange->state.lock()->stopping = server->stopping_;
  (*under_way)[exchange.get()] = exchange;
  return exchange.get();
}

MHD_Result Server::on_access(void* cls, MHD_Connection*, const char*, const char* method, const char* version,
                             const char* data, size_t* size, void** context) {
  if (!*context) return MHD_NO;
  try {
    return static_cast<Server*>(cls)->on_request(*static_cast<Exchange*>(*context), method, version, data, size);
  } catch (const std::exception& failure) {  // no memory, or a bug: this request ends, the server goes on
    kLog.error("http request failed: {}", failure.what());
    return MHD_NO;
  }
}

void Server::on_ended(void* cls, MHD_Connection* connection, void** context, MHD_RequestTerminationCode) {
  auto* exchange = static_cast<Exchange*>(std::exchange(*context, nullptr));
  if (!exchange) return;
  auto* server = static_cast<Server*>(cls);
  server->idle_.waiting(idle_handle(connection));
  exchange->state.lock()->ended = true;
  exchange->transaction.reset();
  auto gone = server->under_way_.lock()->extract(exchange);
  server->under_way_.notify_all();
}

void Server::on_connection(void* cls, MHD_Connection* connection, void** context, MHD_ConnectionNotificationCode code) {
  auto* server = static_cast<Server*>(cls);
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    int socket = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    *context = new IdleWatch::Handle(server->idle_.add(socket));
    return;
  }
  auto* handle = static_cast<IdleWatch::Handle*>(std::exchange(*context, nullptr));
  server->idle_.remove(*handle);
  delete handle;
}

// Each connection may have a file besides. Those beyond wait in the backlog until others end: a server without a
// descriptor would have to turn away, or to fail, what it has accepted.
unsigned most_connections(size_t wanted) {
  constexpr size_t kOthers = 64;
  const size_t limit = file_limit() - std::min(file_limit(), file_limit() / 4 + kOthers);
  return static_cast<unsigned>(std::min(wanted, std::max<size_t>(8, limit / 2)));
}

Status Server::listen(int socket) {
  // Several threads wait for the same socket: whoever comes second must not block in accept().
  int flags = ::fcntl(socket, F_GETFL);
  if (flags < 0 || ::fcntl(socket, F_SETFL, flags | O_NONBLOCK) < 0) return system_error("listening socket", errno);
  bool tls = !options_.tls_certificate_pem.empty();
  unsigned mode = MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
  if (tls) mode |= MHD_USE_TLS;
  std::vector<MHD_OptionItem> extra;
  if (options_.threads > 1) extra.push_back({MHD_OPTION_THREAD_POOL_SIZE, options_.threads, nullptr});
  if (tls) {
    extra.push_back({MHD_OPTION_HTTPS_MEM_CERT, 0, options_.tls_certificate_pem.data()});
    extra.push_back({MHD_OPTION_HTTPS_MEM_KEY, 0, options_.tls_key_pem.data()});
    extra.push_back({MHD_OPTION_HTTPS_PRIORITIES, 0, const_cast<char*>("NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2")});
  }
  extra.push_back({MHD_OPTION_END, 0, nullptr});
  auto idle_seconds = static_cast<unsigned>(std::max<int64_t>(1, options_.idle_timeout.count() / 1000));
  daemon_ = MHD_start_daemon(
      mode, 0, nullptr, nullptr, &Server::on_access, this, MHD_OPTION_EXTERNAL_LOGGER, &log_from_library, nullptr,
      MHD_OPTION_LISTEN_SOCKET, socket, MHD_OPTION_URI_LOG_CALLBACK, &Server::on_target, this,
      MHD_OPTION_UNESCAPE_CALLBACK, &keep_raw, nullptr, MHD_OPTION_NOTIFY_COMPLETED, &Server::on_ended, this,
      MHD_OPTION_NOTIFY_CONNECTION, &Server::on_connection, this, MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemory,
      MHD_OPTION_CONNECTION_LIMIT, most_connections(options_.max_connections), MHD_OPTION_CONNECTION_TIMEOUT,
      idle_seconds, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, extra.data(), MHD_OPTION_END);
  if (daemon_) return Ok{};
  if (tls) return Error{Code::invalid_argument, "the TLS certificate and key do not fit each other or are no PEM"};
  return Error{Code::internal, "the HTTP server does not start"};
}

void Server::quiesce() {
  if (!quiesced_.exchange(true)) MHD_quiesce_daemon(daemon_);
}

bool Server::finish(Milliseconds at_most) {
  quiesce();
  auto under_way = under_way_.lock();
  return under_way.wait_until({}, Deadline::after(at_most).when(), [](const auto& now) { return now.empty(); });
}

Server::~Server() {
  if (!daemon_) return;
  quiesce();
  std::vector<ExchangePtr> left;
  {
    auto under_way = under_way_.lock();
    stopping_ = true;
    for (const auto& [exchange, shared] : *under_way) left.push_back(shared);
  }
  for (const auto& exchange : left) exchange->state.lock()->stopping = true;
  bodies_.reset();  // finishes what it has begun and drops the rest; nobody adds to it any more
  for (const auto& exchange : left) exchange->send(stopping_reply());
  left.clear();
  finish(kLastAnswers);
  MHD_stop_daemon(daemon_);
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(int listening, HttpHandler& handler,
                                                      const HttpServerOptions& options) {
  auto server = std::make_unique<Server>(handler, options);
  if (auto started = server->listen(listening); !started) return std::move(started).error();
  return Result<std::unique_ptr<HttpServer>>(std::move(server));
}

}  // namespace hitfs
