#include "tests/support/raw_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstring>
#include <stdexcept>

namespace hitfs::testing {

namespace {

constexpr int kBacklog = 1024;
constexpr int kReplyTimeoutMs = 30000;

void require(bool fine, const char* what) {
  if (!fine) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

sockaddr_un unix_address(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof(address.sun_path)) throw std::runtime_error("socket path too long");
  std::strcpy(address.sun_path, path.c_str());
  return address;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

RawReply parse_head(std::string_view head) {
  RawReply reply;
  auto line_end = head.find("\r\n");
  auto line = head.substr(0, line_end);
  if (line.starts_with("HTTP/1.") && line.size() >= 12) {
    std::from_chars(line.data() + 9, line.data() + 12, reply.status);
  }
  while (line_end != std::string_view::npos) {
    head.remove_prefix(line_end + 2);
    line_end = head.find("\r\n");
    auto header = head.substr(0, line_end);
    auto colon = header.find(": ");
    if (colon == std::string_view::npos) continue;
    reply.headers[lower(std::string(header.substr(0, colon)))] = header.substr(colon + 2);
  }
  return reply;
}

}  // namespace

ListeningSocket listen_on_loopback() {
  ListeningSocket socket{UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), 0};
  auto address = loopback(0);
  socklen_t size = sizeof(address);
  require(::bind(socket.fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
  require(::listen(socket.fd.get(), kBacklog) == 0, "listen");
  require(::getsockname(socket.fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
  socket.port = ntohs(address.sin_port);
  return socket;
}

ListeningSocket listen_on_unix(const std::filesystem::path& path) {
  ListeningSocket socket{UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), 0};
  auto address = unix_address(path);
  require(::bind(socket.fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "bind");
  require(::listen(socket.fd.get(), kBacklog) == 0, "listen");
  return socket;
}

RawConnection::RawConnection(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  auto address = loopback(port);
  require(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "connect");
}

RawConnection::RawConnection(const std::filesystem::path& unix_socket)
    : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  auto address = unix_address(unix_socket);
  require(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "connect");
}

bool RawConnection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    auto sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void RawConnection::end_sending() { ::shutdown(fd_.get(), SHUT_WR); }

bool RawConnection::fill() {
  pollfd waiting{fd_.get(), POLLIN, 0};
  if (::poll(&waiting, 1, kReplyTimeoutMs) <= 0) return false;
  std::array<char, 65536> piece;
  auto got = ::recv(fd_.get(), piece.data(), piece.size(), 0);
  if (got <= 0) return false;
  buffer_.append(piece.data(), static_cast<size_t>(got));
  return true;
}

RawReply RawConnection::read_reply(bool has_body) {
  size_t head_end;
  for (;;) {
    head_end = buffer_.find("\r\n\r\n");
    bool interim = head_end != std::string::npos && buffer_.starts_with("HTTP/1.1 100");
    if (head_end != std::string::npos && !interim) break;
    if (interim) {
      buffer_.erase(0, head_end + 4);
      continue;
    }
    if (!fill()) return {};
  }
  auto reply = parse_head(std::string_view(buffer_).substr(0, head_end));
  buffer_.erase(0, head_end + 4);
  if (!has_body) return reply;
  size_t length = 0;
  auto found = reply.headers.find("content-length");
  if (found == reply.headers.end()) return {};
  std::from_chars(found->second.data(), found->second.data() + found->second.size(), length);
  while (buffer_.size() < length) {
    if (!fill()) return {};
  }
  reply.body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  return reply;
}

std::optional<std::string> RawConnection::read_to_end() {
  while (fill()) {
  }
  pollfd waiting{fd_.get(), POLLIN, 0};
  if (::poll(&waiting, 1, 0) <= 0) return std::nullopt;  // a closed connection is always readable
  return std::move(buffer_);
}

bool RawConnection::closes(Milliseconds at_most) {
  pollfd waiting{fd_.get(), POLLIN, 0};
  if (!buffer_.empty() || ::poll(&waiting, 1, static_cast<int>(at_most.count())) <= 0) return false;
  char byte;
  return ::recv(fd_.get(), &byte, 1, 0) <= 0;
}

RawReply request(int port, std::string_view method, std::string_view target, std::string_view headers,
                 std::string_view body) {
  RawConnection connection(port);
  std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  text += headers;
  if (!body.empty() || method == "PUT" || method == "POST") {
    text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  }
  text += "\r\n";
  connection.send(text);
  connection.send(body);
  return connection.read_reply(method != "HEAD");
}

}  // namespace hitfs::testing
