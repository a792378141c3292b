#include "store/base/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "store/base/io.h"

namespace hitfs {

namespace {

constexpr int kBacklog = 4096;  // the kernel lowers it to net.core.somaxconn

int type_of(UnixSocket kind) { return kind == UnixSocket::stream ? SOCK_STREAM : SOCK_SEQPACKET; }

// The address of a socket file; through the folder's descriptor when the path is too long for an address.
struct UnixAddress {
  sockaddr_un address{};
  UniqueFd folder;

  static Result<UnixAddress> of(const std::filesystem::path& path) {
    UnixAddress made;
    made.address.sun_family = AF_UNIX;
    std::string text = path.string();
    if (text.size() >= sizeof(made.address.sun_path)) {
      made.folder.reset(::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!made.folder) return system_error("open " + path.parent_path().string(), errno);
      text = "/proc/self/fd/" + std::to_string(made.folder.get()) + "/" + path.filename().string();
    }
    if (text.size() >= sizeof(made.address.sun_path)) {
      return Error{Code::invalid_argument, "socket name is too long: " + path.filename().string()};
    }
    std::memcpy(made.address.sun_path, text.c_str(), text.size() + 1);
    return made;
  }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

using AddressList = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

Result<AddressList> resolve(const TcpAddress& address) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int failure = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &wanted, &found);
  if (failure != 0) {
    return Error{Code::invalid_argument, "address " + address.text() + ": " + ::gai_strerror(failure)};
  }
  return AddressList(found, ::freeaddrinfo);
}

}  // namespace

Result<UniqueFd> listen_unix(const std::filesystem::path& path, UnixSocket kind) {
  auto address = UnixAddress::of(path);
  if (!address) return std::move(address).error();
  UniqueFd socket(::socket(AF_UNIX, type_of(kind) | SOCK_CLOEXEC, 0));
  if (!socket) return system_error("socket", errno);
  if (auto gone = io::unlink(path, "socket"); !gone && gone.error().code != Code::not_found) {
    return std::move(gone).error();
  }
  auto bound = io::step(io::Op::create, "socket", [&]() -> Status {
    if (::bind(socket.get(), address->get(), sizeof(sockaddr_un)) < 0)
      return system_error("bind " + path.string(), errno);
    return Ok{};
  });
  if (!bound) return std::move(bound).error();
  // The store is 0700, so nobody gets in between.
  if (::chmod(path.c_str(), 0600) < 0) return system_error("chmod " + path.string(), errno);
  if (::listen(socket.get(), kBacklog) < 0) return system_error("listen " + path.string(), errno);
  return socket;
}

namespace {

Result<UniqueFd> connect_unix(const std::filesystem::path& path, int type) {
  auto address = UnixAddress::of(path);
  if (!address) return std::move(address).error();
  UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!socket) return system_error("socket", errno);
  if (::connect(socket.get(), address->get(), sizeof(sockaddr_un)) == 0) return socket;
  if (errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN) {
    return Error{Code::unavailable, "nobody listens at " + path.string()};
  }
  return system_error("connect " + path.string(), errno);
}

// Over loopback the handshake is done inside of connect(), but a call that may not wait never says so.
bool is_connected(int socket) {
  pollfd now{socket, POLLOUT, 0};
  bool connected = ::poll(&now, 1, 0) > 0 && (now.revents & (POLLERR | POLLHUP)) == 0;
  errno = EINPROGRESS;
  return connected;
}

}  // namespace

Result<UniqueFd> connect_unix(const std::filesystem::path& path, UnixSocket kind) {
  return connect_unix(path, type_of(kind));
}

Result<UniqueFd> connect_unix_now(const std::filesystem::path& path, UnixSocket kind) {
  return connect_unix(path, type_of(kind) | SOCK_NONBLOCK);
}

Result<UniqueFd> connect_loopback_now(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return system_error("socket", errno);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return socket;
  if (errno == EINPROGRESS && is_connected(socket.get())) return socket;
  if (errno == ECONNREFUSED || errno == EINPROGRESS || errno == EAGAIN) {
    return Error{Code::unavailable, "nobody takes connections at port " + std::to_string(port)};
  }
  return system_error("connect to port " + std::to_string(port), errno);
}

Result<TcpAddress> TcpAddress::parse(std::string_view text) {
  Error wrong{Code::invalid_argument,
              "address \"" + std::string(text) + "\": write HOST:PORT, as in 127.0.0.1:8080 or [::1]:8080"};
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong;
  auto host = text.substr(0, colon), digits = text.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return wrong;
  }
  uint16_t port = 0;
  auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (host.empty() || digits.empty() || failure != std::errc() || end != digits.data() + digits.size()) return wrong;
  return TcpAddress{std::string(host), port};
}

std::string TcpAddress::text() const {
  bool six = host.find(':') != std::string::npos;
  return (six ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<UniqueFd> listen_tcp(const TcpAddress& address) {
  auto found = resolve(address);
  if (!found) return std::move(found).error();
  const addrinfo& chosen = **found;
  UniqueFd socket(::socket(chosen.ai_family, chosen.ai_socktype | SOCK_CLOEXEC, chosen.ai_protocol));
  if (!socket) return system_error("socket", errno);
  // Connections of the last life in TIME_WAIT must not keep us from our own port.
  int yes = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (::bind(socket.get(), chosen.ai_addr, chosen.ai_addrlen) < 0 || ::listen(socket.get(), kBacklog) < 0) {
    if (errno == EADDRINUSE)
      return Error{Code::unavailable, "address " + address.text() + " is taken by another process"};
    return system_error("listen on " + address.text(), errno);
  }
  return socket;
}

Result<uint16_t> local_port(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) < 0)
    return system_error("getsockname", errno);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

}  // namespace hitfs
