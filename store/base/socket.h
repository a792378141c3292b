#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "store/base/result.h"
#include "store/base/unique_fd.h"

// Sockets of our own processes: made by the supervisor, inherited by the fronts. All are O_CLOEXEC.
namespace hitfs {

enum class UnixSocket {
  stream,
  messages,  // SOCK_SEQPACKET: connected, and one send is one receive
};

// Listens at `path` with mode 0600. A socket file left by a dead process is replaced, so the caller must hold the lock
// that says "the one at this path is me". Paths longer than a socket address (107 bytes) work.
Result<UniqueFd> listen_unix(const std::filesystem::path& path, UnixSocket kind);
// `unavailable` when nobody listens there. Waits while more are waiting than the listener takes.
Result<UniqueFd> connect_unix(const std::filesystem::path& path, UnixSocket kind);
// The same without waiting, then or later: the socket is O_NONBLOCK, and a full queue is `unavailable` too.
Result<UniqueFd> connect_unix_now(const std::filesystem::path& path, UnixSocket kind);
// To a port of 127.0.0.1, without waiting.
Result<UniqueFd> connect_loopback_now(uint16_t port);

struct TcpAddress {
  std::string host;  // "127.0.0.1", "::1", "localhost", "0.0.0.0"; never empty
  uint16_t port = 0;

  // "127.0.0.1:4711", "[::1]:80", "localhost:0"; `invalid_argument` says what an address looks like.
  static Result<TcpAddress> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
};

// Binds and listens (backlog for hundreds of connections at once: nx 23.3 opens one per ready task). Port 0 lets the
// kernel choose. `unavailable` when the port is taken.
Result<UniqueFd> listen_tcp(const TcpAddress& address);
Result<uint16_t> local_port(int socket);

}  // namespace hitfs
