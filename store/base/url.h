#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "store/base/result.h"

namespace hitfs {

// A URL with an authority (`scheme://[user[:password]@]host[:port][/path][?query]`), checked once. A value.
struct Url {
  std::string scheme;    // lower case
  std::string user;      // decoded; secret together with `password`
  std::string password;  // decoded; secret
  bool has_password = false;
  std::string host;   // lower case, an IPv6 address without its brackets; may be empty for `file` only
  uint16_t port = 0;  // 0 when none is given
  std::string path;   // raw: "" or starting with '/'
  std::string query;  // raw, without '?'

  // `invalid_argument` for anything else: no scheme, spaces or control characters, '\', a fragment, a bad port or host.
  // The message shows the URL redacted.
  static Result<Url> parse(std::string_view text);

  // Without user and password.
  [[nodiscard]] std::string text() const;
  // "host" or "host:port", as in a Host header.
  [[nodiscard]] std::string authority() const;
  // `port`, or what the scheme stands for (80, 443; else 0).
  [[nodiscard]] uint16_t effective_port() const;
  [[nodiscard]] bool same_origin(const Url& other) const;
  // 127.0.0.0/8, ::1 or "localhost" (which libcurl and we take for loopback without asking a name server).
  [[nodiscard]] bool is_loopback() const;
};

// Any text that may be a URL, fit for a log: without what stands before '@' and without its query.
[[nodiscard]] std::string redact_url(std::string_view text);

}  // namespace hitfs
