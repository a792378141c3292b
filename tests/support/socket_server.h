#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "store/base/clock.h"
#include "store/base/guarded.h"
#include "store/base/unique_fd.h"

namespace hitfs::testing {

// The head of a request as it was sent; header names in lower case.
struct SeenRequest {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  // The value of the first header of that name, "" when there is none.
  [[nodiscard]] std::string header(std::string_view name) const;
};

// One accepted connection, in the hands of a test's script. Every wait ends when the peer closes or the server stops.
class Connection {
 public:
  Connection(UniqueFd fd, SSL* tls, Guarded<std::vector<SeenRequest>>& seen);
  ~Connection();
  Connection(const Connection&) = delete;

  // The next request's head; none when the peer is gone.
  std::optional<SeenRequest> read_head();
  // Its body by Content-Length, after "100 Continue" where asked for; none when it was cut.
  std::optional<std::string> read_body(const SeenRequest& request);
  // Reads `bytes` of a body and no more.
  std::string read_some(size_t bytes);

  // False when the peer is gone.
  bool send(std::string_view bytes);
  // A whole answer with a Content-Length.
  bool answer(int status, std::string_view body = "", const std::string& more_headers = "");

  // Waits until the peer closes.
  void wait_closed();
  // As wait_closed(), for at most `time`; true when the peer closed. The pause of a slow server.
  bool wait_closed_for(Milliseconds time);
  // Ends with a RST instead of a FIN.
  void reset();
  // From another thread: ends every wait.
  void shut_down();

 private:
  // Appends what comes to `buffer_`; false at the end.
  bool read_more();

  std::mutex closing_;  // a reset closes the descriptor that shut_down() looks at
  UniqueFd fd_;
  SSL* tls_;
  Guarded<std::vector<SeenRequest>>& seen_;
  std::string buffer_;
};

// A TCP server on loopback whose every connection is played by a script on a thread of its own. Ends with everything it
// started.
class SocketServer {
 public:
  using Script = std::function<void(Connection&)>;
  // With certificate and key (PEM files) it speaks TLS. Port 0 is any that is free; a port that is named may be the one
  // of a server that has just ended.
  explicit SocketServer(Script script, const std::string& certificate_file = "", const std::string& key_file = "",
                        uint16_t port = 0);
  ~SocketServer();
  SocketServer(const SocketServer&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }
  // "127.0.0.1:4711"
  [[nodiscard]] std::string authority() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::vector<SeenRequest> seen() { return *seen_.lock(); }
  [[nodiscard]] size_t accepted() { return connections_.lock()->size(); }

 private:
  void accept_all();

  Script script_;
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> tls_{nullptr, &SSL_CTX_free};
  uint16_t port_ = 0;  // before the socket, whose making sets it
  UniqueFd listening_;
  Guarded<std::vector<SeenRequest>> seen_;
  struct Served {
    std::unique_ptr<Connection> connection;
    std::jthread thread;
    std::atomic<bool> done{false};
  };
  // Those that are done go when the next one comes: a drill makes tens of thousands.
  Guarded<std::list<Served>> connections_;
  std::jthread acceptor_;
};

// A port on loopback that is nobody else's while this lives: a connect is refused until a SocketServer of the test
// listens there, and again afterwards.
class ReservedPort {
 public:
  ReservedPort();
  [[nodiscard]] uint16_t number() const { return number_; }

 private:
  uint16_t number_ = 0;  // before the socket, whose making sets it
  UniqueFd socket_;
};

// A port on loopback where nobody listens: a connect is refused.
[[nodiscard]] uint16_t closed_port();

// A self-signed certificate for 127.0.0.1 with its key, as PEM files in `folder`: cert.pem, key.pem.
void write_self_signed_certificate(const std::string& folder);

}  // namespace hitfs::testing
