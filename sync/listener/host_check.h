#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hitfs {

// Which Host headers are answered. A web page that makes its own name point to 127.0.0.1 (DNS rebinding) can send
// requests to a loopback port, but they carry its name; a build tool's carry 127.0.0.1, localhost or [::1]. A value.
class HostCheck {
 public:
  // Everything is allowed: for a server whose names nobody lists here.
  [[nodiscard]] static HostCheck any();
  // The names of this machine for itself, and `further` names or addresses (each "name" or "name:port").
  [[nodiscard]] static HostCheck loopback_and(const std::vector<std::string>& further);

  [[nodiscard]] bool allows(std::string_view host) const;

 private:
  bool any_ = false;
  std::vector<std::string> names_;
};

}  // namespace hitfs
