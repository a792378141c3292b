#pragma once

#include <cstdint>
#include <vector>

#include "store/base/unique_fd.h"

namespace hitfs::testing {

// A port of loopback that drops every SYN, as a firewall or a machine that is gone does: somebody listens there, whose
// queue is full and who accepts nobody.
class FullBacklog {
 public:
  // Throws when the queue cannot be filled.
  explicit FullBacklog(uint16_t port);

  // A connect now gets no answer for 300 ms.
  [[nodiscard]] bool drops() const;
  // How often a full queue of this machine dropped a SYN since this one was filled (TcpExt ListenDrops).
  [[nodiscard]] uint64_t dropped() const;

 private:
  [[nodiscard]] UniqueFd connect() const;

  uint16_t port_;
  UniqueFd listening_;
  std::vector<UniqueFd> waiting_;
  uint64_t dropped_before_ = 0;
};

}  // namespace hitfs::testing
