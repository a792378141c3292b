#include "cli/supervisor/miss_answerer.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace hitfs {

namespace {

constexpr size_t kLongestHead = 16 << 10;
// A client gets this long from connecting to having sent what it wants to send; then it has its answer anyway.
constexpr Milliseconds kConnectionLimit{30'000};

// The answers that nx clients from 20.8 to 24.0 take without failing a build.
std::string_view answer_to(std::string_view head) {
  if (head.starts_with("GET ")) return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  return "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
}

}  // namespace

MissAnswerer::MissAnswerer(EventLoop& loop, int listening) : loop_(loop), listening_(listening) {
  ::fcntl(listening_, F_SETFL, ::fcntl(listening_, F_GETFL) | O_NONBLOCK);
  watch_listening();
}

MissAnswerer::~MissAnswerer() {
  if (accepting_) loop_.forget(listening_);
  while (!connections_.empty()) drop(connections_.begin()->first);
}

void MissAnswerer::watch_listening() {
  accepting_ = true;
  loop_.watch(listening_, [this] { accept_one(); });
}

void MissAnswerer::accept_one() {
  UniqueFd socket(::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return;
  int id = socket.get();
  auto& connection = connections_[id];
  connection.socket = std::move(socket);
  connection.limit = loop_.after(kConnectionLimit, [this, id] {
    connections_[id].limit = 0;
    drop(id);
  });
  loop_.watch(id, [this, id] { receive(id); });
  if (connections_.size() < kMostConnections) return;
  accepting_ = false;
  loop_.forget(listening_);
}

void MissAnswerer::receive(int id) {
  auto& connection = connections_[id];
  std::array<char, 16 << 10> piece;
  ssize_t got = ::recv(id, piece.data(), piece.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return drop(id);
  // What comes after the answer is a body: read, so that the client surely sees the answer, and thrown away.
  if (connection.answered) return;
  connection.head.append(piece.data(), static_cast<size_t>(got));
  bool complete = connection.head.find("\r\n\r\n") != std::string::npos;
  if (complete || connection.head.size() > kLongestHead) answer(connection);
}

void MissAnswerer::answer(Connection& connection) {
  auto text = answer_to(connection.head);
  connection.answered = true;
  connection.head = {};
  // A hundred bytes always fit into a fresh connection's buffer.
  [[maybe_unused]] auto sent = ::send(connection.socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
  ::shutdown(connection.socket.get(), SHUT_WR);
}

void MissAnswerer::drop(int id) {
  auto found = connections_.find(id);
  if (found->second.limit != 0) loop_.cancel(found->second.limit);
  loop_.forget(id);
  connections_.erase(found);
  if (!accepting_ && connections_.size() < kMostConnections) watch_listening();
}

}  // namespace hitfs
