#pragma once

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
  [[nodiscard]] size_t size() { return entries_.lock()->size(); }

 private:
  void serve(Connection& peer);

  const std::string token_, prefix_, scheme_;
  Guarded<std::map<std::string, std::string>> entries_;
  SocketServer server_;  // last: its threads use the rest
};

}  // namespace hitfs::testing
