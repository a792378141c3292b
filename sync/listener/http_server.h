#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

// HTTP/1.1 over an inherited listening socket (TCP or unix), on libmicrohttpd. The same server carries the endpoint for
// build tools, `hitfs serve` and the daemon's interface; what they answer are HttpHandlers.
namespace hitfs {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;
// The first header of that name (letter case ignored), or nullptr.
[[nodiscard]] const std::string* find_header(const HttpHeaders& headers, std::string_view name);

// A request whose framing was checked: one Host, at most one Content-Length, none beside Transfer-Encoding; everything
// else was answered 400 and closed before a handler saw it.
struct HttpRequest {
  std::string method;
  std::string path;   // raw, as sent: not decoded, without the query
  std::string query;  // raw, without '?'
  HttpHeaders headers;
  std::optional<uint64_t> content_length;
};

struct FileBody {
  UniqueFd file;
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct HttpReply {
  int status = 200;
  HttpHeaders headers;
  std::string body;
  std::optional<FileBody> file;  // instead of `body`
  bool close = false;            // end the connection after the answer
};
[[nodiscard]] HttpReply text_reply(int status, std::string_view text);
[[nodiscard]] HttpReply json_reply(int status, const Json& json);

// Sends the one answer of a request, now or later, from any thread. Move-only; dropped unanswered it sends a 500.
class HttpResponder {
 public:
  explicit HttpResponder(std::function<void(HttpReply)> send) : send_(std::move(send)) {}
  HttpResponder(HttpResponder&& other) noexcept : send_(std::exchange(other.send_, nullptr)) {}
  HttpResponder& operator=(HttpResponder&&) = delete;
  ~HttpResponder();
  void send(HttpReply reply);

 private:
  std::function<void(HttpReply)> send_;
};

// One request under way. Destroyed without complete() when the body was cut: then nothing may be kept.
class HttpTransaction {
 public:
  virtual ~HttpTransaction() = default;
  // A piece of the body; an Error stops reading: the rest is drained (up to HttpServerOptions::max_drained_bytes) and
  // complete() is called all the same.
  virtual Status body(std::span<const std::byte> bytes) = 0;
  // The whole body is in, exactly Content-Length bytes. May keep the responder and answer later. Must not block.
  virtual void complete(HttpResponder responder) = 0;

  // True: body() may wait for a disk, so it is called on a thread of its own while the connection rests; the client
  // feels that as backpressure, other connections do not feel it.
  [[nodiscard]] virtual bool body_may_block() const { return false; }
  // False: body() is never called. The body is drained before complete(), so that the client surely reads the answer;
  // when it is too large for that, or still held back (Expect: 100-continue), the answer goes out first and the
  // connection ends.
  [[nodiscard]] virtual bool wants_body() const { return true; }
  // The most that is drained of a body that is not wanted.
  [[nodiscard]] virtual uint64_t drains_at_most() const { return UINT64_MAX; }
};

// Decides what happens to a request when its headers are in. Called from any server thread, several at once; must not
// block for another process.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  virtual std::unique_ptr<HttpTransaction> begin(const HttpRequest& request) = 0;
};

// A transaction that ignores the body and answers at once. With reply.close a body of more than 1 MiB is not drained.
[[nodiscard]] std::unique_ptr<HttpTransaction> answer(HttpReply reply);
// Collects a JSON body of at most `limit` bytes (an empty one is null), then calls `done`; anything else is a 400.
[[nodiscard]] std::unique_ptr<HttpTransaction> with_json_body(
    size_t limit, std::function<void(const Json& body, HttpResponder responder)> done);

struct HttpServerOptions {
  int threads = 2;
  size_t max_connections = 1024;
  // A connection ends when nothing moves on it for so long, and when the next request's headers are not complete so
  // long after the last answer (or the connect), however slowly they drip in. Waiting for our answer never counts.
  Milliseconds idle_timeout{120000};
  uint64_t max_drained_bytes = 16ull << 30;
  std::string tls_certificate_pem = {};  // contents, with tls_key_pem; empty for plain text
  std::string tls_key_pem = {};
};

class HttpServer {
 public:
  // `listening` is bound and listens; it stays the caller's to close, and other processes that have it go on accepting
  // when this server has ended. `handler` outlives the server. `invalid_argument` for a certificate that does not fit.
  static Result<std::unique_ptr<HttpServer>> start(int listening, HttpHandler& handler,
                                                   const HttpServerOptions& options);
  // Stops accepting, answers what waits with 503 (a second is given to send it), ends.
  virtual ~HttpServer() = default;

  // Stops accepting and waits until no request is under way, `at_most` so long; true when none is left.
  virtual bool finish(Milliseconds at_most) = 0;
  // Requests under way: from complete headers to the last byte of the answer.
  [[nodiscard]] virtual size_t requests_under_way() = 0;
};

}  // namespace hitfs
