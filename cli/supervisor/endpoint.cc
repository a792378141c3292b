#include "cli/supervisor/endpoint.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <utility>

#include "store/base/io.h"
#include "store/base/json.h"
#include "store/base/socket.h"
#include "store/digest.h"

namespace hitfs {

namespace {

constexpr size_t kTokenBytes = 32;

struct Remembered {
  uint16_t port = 0;
  std::string token;
};

bool is_token(const std::string& text) {
  return text.size() == 2 * kTokenBytes && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// What cannot be read is as good as not there: new values are made.
Remembered remembered(const StorePaths& store) {
  auto text = io::read_file(store.endpoint(), 4096);
  if (!text) return {};
  auto parsed = Json::parse(*text);
  if (!parsed) return {};
  const Json& json = *parsed;
  auto port = json["port"].integer_or(0);
  auto token = json["token"].text_or("");
  if (port < 1 || port > 65535 || !is_token(token)) return {};
  return {static_cast<uint16_t>(port), token};
}

Result<std::string> random_token() {
  std::array<std::byte, kTokenBytes> bytes;
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return system_error("getrandom", errno);
  }
  return to_hex(bytes);
}

Result<UniqueFd> listen_on(uint16_t port) { return listen_tcp({"127.0.0.1", port}); }

Status remember(const StorePaths& store, const Endpoint& endpoint) {
  Json json;
  json["port"] = endpoint.port;
  json["token"] = endpoint.token;
  return io::replace_file(store.endpoint(), io::as_bytes(json.dump() + "\n"), "endpoint", 0600);
}

}  // namespace

Result<Endpoint> Endpoint::open(const StorePaths& store, uint16_t wanted_port, UniqueFd kept) {
  auto last = remembered(store);
  uint16_t first_try = wanted_port != 0 ? wanted_port : last.port;
  auto port_kept = kept ? local_port(kept.get()) : Result<uint16_t>(uint16_t{0});
  if (kept && last.port != 0 && first_try == last.port && port_kept && *port_kept == last.port) {
    return Endpoint{std::move(kept), last.port, last.token};
  }
  kept.reset();
  auto socket = listen_on(first_try);
  if (!socket && wanted_port != 0) {
    return Error{socket.error().code, "port " + std::to_string(wanted_port) + ": " + socket.error().message +
                                          "; free it, or leave `port` out"};
  }
  bool same = socket.has_value() && last.port != 0 && first_try == last.port;
  if (!socket) socket = listen_on(0);
  if (!socket) return std::move(socket).error();
  auto port = local_port(socket->get());
  if (!port) return std::move(port).error();
  auto token = same ? Result<std::string>(last.token) : random_token();
  if (!token) return std::move(token).error();
  Endpoint endpoint{std::move(*socket), *port, std::move(*token)};
  if (same) return endpoint;
  if (auto kept = remember(store, endpoint); !kept) return std::move(kept).error();
  return endpoint;
}

void Endpoint::rotate(const StorePaths& store) {
  // Nothing to do where there is none; a failure leaves the old values, which are still secret.
  [[maybe_unused]] auto gone = io::unlink(store.endpoint(), "endpoint");
}

}  // namespace hitfs
