#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "cli/supervisor/event_loop.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs {

using ConnectionId = uint64_t;

// What a supervisor answers that ends: the asker waits for its end and starts another.
constexpr const char* kEnding = "hitfs is ending";

// The supervisor's control socket: one JSON object per message (SOCK_SEQPACKET) in both directions, only for processes
// of our own user and for root. A connection stands for a process: what it holds ends with it. A peer that sends what
// is no JSON object, more than kMostBytes, or does not read its answers is cut off. Belongs to the loop's thread.
class ControlServer {
 public:
  static constexpr size_t kMostBytes = 64 << 10;
  static constexpr size_t kMostConnections = 1024;

  struct Handler {
    std::function<void(ConnectionId, const Json& request)> request;
    std::function<void(ConnectionId)> closed;
  };

  // `listening` from listen_unix(UnixSocket::messages).
  ControlServer(EventLoop& loop, UniqueFd listening, Handler handler);
  ~ControlServer();

  // To a connection that may be gone already.
  void send(ConnectionId connection, const Json& message);
  void close(ConnectionId connection);

 private:
  void accept_one();
  void receive(ConnectionId connection);

  EventLoop& loop_;
  UniqueFd listening_;
  Handler handler_;
  std::map<ConnectionId, UniqueFd> connections_;
  ConnectionId last_ = 0;
};

}  // namespace hitfs
