#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/result.h"
#include "store/base/url.h"
#include "store/stream.h"
#include "sync/options.h"
#include "sync/remotes/http_head.h"
#include "sync/remotes/remote_call.h"

namespace hitfs {

struct HttpQuestion {
  std::string method = "GET";
  Url url;                           // http or https; user and password in it are not used
  std::string authorization;         // the header's value, secret; goes to the origin of `url` only
  std::vector<std::string> headers;  // "Name: value"; go to the origin of `url` only
  // Opens the body, of a known size, from its start: again for a redirect and for a kept connection that turned out to
  // be gone. Empty for no body.
  std::function<Result<std::unique_ptr<ByteSource>>()> body;
  std::optional<Milliseconds> answer_limit;  // instead of the client's patience.first_byte
};

struct HttpClientOptions {
  Patience patience;
  std::string root_certificates;  // PEM, instead of the system's; "" for the system's
  bool verify_tls = true;
  std::string http_proxy;  // for http:// where the environment names none; loopback is never proxied
  uint64_t max_body = 10ull << 30;
  int max_redirects = 5;
};

// HTTP for remotes, over libcurl (the only place in sync that knows it): blocking, streaming both ways, memory bounded
// by fixed buffers. Connections are kept and reused; HTTP/2 over TLS where offered; proxies as libcurl reads them from
// the environment. Redirects are followed here, without credentials and own headers to another origin, and never from
// https to http. Safe from several threads. Each main ignores SIGPIPE.
class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options);
  ~HttpClient();

  // Told of the final answer's head; gives the sink of its body, or nullptr when the body is not wanted.
  using OnHead = std::function<Result<ByteSink*>(const HttpAnswer&)>;

  // Any complete answer, whatever its status, is a success. Errors name method and URL, redacted: `unavailable` when
  // nobody answered in time or the connection ended, `corrupt` for a body that is too long or framed ambiguously, and
  // what body, sink or `on_head` returned. What the sink got before an error is not the whole body.
  Result<HttpAnswer> ask(const HttpQuestion& question, const OnHead& on_head, RemoteCall& call);

 private:
  struct Pool;
  HttpClientOptions options_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace hitfs
