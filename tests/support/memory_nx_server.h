#pragma once

#include <atomic>
#include <map>
#include <string>

#include "store/base/guarded.h"
#include "tests/support/socket_server.h"

namespace hitfs::testing {

// A small Nx cache server in memory, as the protocol says: GET 200 or 404, PUT 200, or 409 for a name it has; 401
// without the token. DELETE removes (204).
class MemoryNxServer {
 public:
  // `prefix` stands before /v1/cache/. With certificate and key it speaks TLS.
  explicit MemoryNxServer(std::string token = "", std::string prefix = "", const std::string& certificate_file = "",
                          const std::string& key_file = "", uint16_t port = 0);

  [[nodiscard]] std::string url() const { return scheme_ + server_.authority() + prefix_; }
  [[nodiscard]] SocketServer& server() { return server_; }
  // From now on each GET is answered only after this.
  void answer_after(Milliseconds pause) { pause_ = pause; }
  [[nodiscard]] size_t size() { return entries_.lock()->size(); }
  // Name -> bytes: what it has now, and to begin with what another one had.
  using Entries = std::map<std::string, std::string>;
  [[nodiscard]] Entries entries() { return *entries_.lock(); }
  void fill(const Entries& entries) { *entries_.lock() = entries; }

 private:
  void serve(Connection& peer);

  const std::string token_, prefix_, scheme_;
  Guarded<Entries> entries_;
  std::atomic<Milliseconds> pause_{};
  SocketServer server_;  // last: its threads use the rest
};

}  // namespace hitfs::testing
