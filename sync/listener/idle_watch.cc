#include "sync/listener/idle_watch.h"

#include <sys/socket.h>

namespace hitfs {

IdleWatch::IdleWatch(Milliseconds limit)
    : limit_(limit), thread_([this](std::stop_token stop) { run(std::move(stop)); }) {}

IdleWatch::Handle IdleWatch::add(int socket) {
  auto connections = connections_.lock();
  auto handle = connections->emplace(connections->end());
  handle->socket = socket;
  handle->since = std::chrono::steady_clock::now();
  return handle;
}

void IdleWatch::remove(Handle handle) { connections_.lock()->erase(handle); }

void IdleWatch::busy(Handle handle) {
  auto connections = connections_.lock();
  handle->waiting = false;
}

void IdleWatch::waiting(Handle handle) {
  auto connections = connections_.lock();
  handle->waiting = true;
  handle->since = std::chrono::steady_clock::now();
}

void IdleWatch::run(std::stop_token stop) {
  auto pause = std::max(limit_ / 4, Milliseconds(10));
  auto connections = connections_.lock();
  while (!stop.stop_requested()) {
    auto now = std::chrono::steady_clock::now();
    end_late(*connections, now - limit_);
    connections.wait_until(stop, now + pause, [](const auto&) { return false; });
  }
}

void IdleWatch::end_late(std::list<Connection>& all, MonotonicTime limit) {
  for (auto& connection : all) {
    // The server sees the end of the stream and closes; the descriptor stays its own.
    if (connection.waiting && connection.since < limit) ::shutdown(connection.socket, SHUT_RDWR);
  }
}

}  // namespace hitfs
