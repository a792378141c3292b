#include "cli/supervisor/control.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::cli};

bool is_ours(int connection) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

}  // namespace

ControlServer::ControlServer(EventLoop& loop, UniqueFd listening, Handler handler)
    : loop_(loop), listening_(std::move(listening)), handler_(std::move(handler)) {
  ::fcntl(listening_.get(), F_SETFL, O_NONBLOCK);
  loop_.watch(listening_.get(), [this] { accept_one(); });
}

ControlServer::~ControlServer() {
  loop_.forget(listening_.get());
  for (const auto& [id, socket] : connections_) loop_.forget(socket.get());
}

void ControlServer::accept_one() {
  UniqueFd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return;
  if (!is_ours(socket.get()) || connections_.size() >= kMostConnections) {
    kLog.warn("control-refused why=\"{}\"", is_ours(socket.get()) ? "too many connections" : "another user");
    return;
  }
  auto id = ++last_;
  loop_.watch(socket.get(), [this, id] { receive(id); });
  connections_.emplace(id, std::move(socket));
}

void ControlServer::receive(ConnectionId connection) {
  auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  std::string message(kMostBytes + 1, '\0');
  ssize_t got = ::recv(found->second.get(), message.data(), message.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0 || static_cast<size_t>(got) > kMostBytes) return close(connection);
  auto request = Json::parse(std::string_view(message).substr(0, static_cast<size_t>(got)));
  if (!request || !request->is_object()) return close(connection);
  handler_.request(connection, *request);
}

void ControlServer::send(ConnectionId connection, const Json& message) {
  auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  auto text = message.dump();
  if (::send(found->second.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) close(connection);
}

void ControlServer::close(ConnectionId connection) {
  auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  loop_.forget(found->second.get());
  connections_.erase(found);
  handler_.closed(connection);
}

}  // namespace hitfs
