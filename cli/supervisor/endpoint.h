#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/store_paths.h"

namespace hitfs {

// The loopback endpoint of a store: a port of 127.0.0.1 and a random 256-bit token, kept 0600 in endpoint.json so that
// a build tool that was told them goes on working when the supervisor comes again.
struct Endpoint {
  UniqueFd socket;  // listens
  uint16_t port = 0;
  std::string token;  // secret; 64 hex digits

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port); }
  [[nodiscard]] std::string url() const { return "http://" + address(); }

  // Takes the port and token of last time while that port is free; else new ones: whoever has the old port now may have
  // been told the old token. `wanted_port` other than 0 must be free (`unavailable` names the remedy).
  // `kept` is the socket that a supervisor before had; it is used when it has that port.
  static Result<Endpoint> open(const StorePaths& store, uint16_t wanted_port, UniqueFd kept = {});
  // The next open() makes new ones.
  static void rotate(const StorePaths& store);
};

}  // namespace hitfs
