#pragma once

#include <list>
#include <thread>

#include "store/base/clock.h"
#include "store/base/guarded.h"

namespace hitfs {

// Ends connections whose next request does not come: libmicrohttpd's own limit starts again with every byte, so headers
// that drip in would hold a connection for ever. One thread; the other calls are safe from any.
class IdleWatch {
 public:
  explicit IdleWatch(Milliseconds limit);
  ~IdleWatch() = default;
  IdleWatch(const IdleWatch&) = delete;
  IdleWatch& operator=(const IdleWatch&) = delete;

  class Connection {
    friend class IdleWatch;
    int socket = -1;
    bool waiting = true;
    MonotonicTime since;
  };
  using Handle = std::list<Connection>::iterator;

  // A new connection waits for its first request. remove() it before the socket is closed.
  [[nodiscard]] Handle add(int socket);
  void remove(Handle handle);
  // The headers of a request are complete: it may now take as long as it takes.
  void busy(Handle handle);
  // It was answered: the connection waits for the next one.
  void waiting(Handle handle);

 private:
  void run(std::stop_token stop);
  static void end_late(std::list<Connection>& all, MonotonicTime limit);

  Milliseconds limit_;
  Guarded<std::list<Connection>> connections_;
  std::jthread thread_;
};

}  // namespace hitfs
