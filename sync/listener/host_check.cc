#include "sync/listener/host_check.h"

#include <algorithm>

#include "sync/listener/http_text.h"

namespace hitfs {

namespace {

// "name:4711" -> "name", "[::1]:80" -> "[::1]"; a port that is no number stays part of the name and matches nothing.
std::string_view without_port(std::string_view host) {
  auto colon = host.rfind(':');
  bool in_brackets = colon != std::string_view::npos && host.find(']', colon) != std::string_view::npos;
  if (colon == std::string_view::npos || in_brackets) return host;
  auto port = host.substr(colon + 1);
  bool digits = std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? host.substr(0, colon) : host;
}

}  // namespace

HostCheck HostCheck::any() {
  HostCheck check;
  check.any_ = true;
  return check;
}

HostCheck HostCheck::loopback_and(const std::vector<std::string>& further) {
  HostCheck check;
  check.names_ = {"127.0.0.1", "localhost", "[::1]"};
  for (const auto& host : further) check.names_.emplace_back(without_port(host));
  return check;
}

bool HostCheck::allows(std::string_view host) const {
  auto name = without_port(host);
  return any_ || std::any_of(names_.begin(), names_.end(),
                             [&](const std::string& known) { return equal_ignoring_case(known, name); });
}

}  // namespace hitfs
