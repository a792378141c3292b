#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/clock.h"
#include "store/base/result.h"
#include "store/base/url.h"

namespace hitfs {

// What the head of an answer says, as far as a remote looks at it.
struct HttpAnswer {
  int status = 0;
  std::optional<uint64_t> length;
  bool framed = false;           // a cut body would be noticed: a length, chunks, or HTTP/2
  std::string content_type;      // lower case
  std::string content_encoding;  // lower case; nothing is ever decoded
  std::optional<Milliseconds> retry_after;
};

// Reads a head line by line; status and Retry-After are left to libcurl. One owner.
class HttpHead {
 public:
  static constexpr size_t kMostBytes = 256 << 10;  // of all heads of one answer, "100 Continue" included

  // True when this was the empty line that ends a head; `corrupt` when heads never end.
  Result<bool> line(std::string_view line);
  [[nodiscard]] const HttpAnswer& answer() const { return answer_; }
  // Two different lengths, one that is no number, or one beside chunks: two readers would see two bodies.
  [[nodiscard]] bool ambiguous_length() const { return ambiguous_length_ || (chunked_ && answer_.length); }

 private:
  void header(std::string_view name, std::string_view value);

  HttpAnswer answer_;
  size_t bytes_ = 0;
  bool ambiguous_length_ = false;
  bool chunked_ = false;
};

[[nodiscard]] bool is_redirect(int status);

// Where a redirect leads, without credentials. `invalid_argument` when it must not be followed: it would turn an upload
// into a GET, leaves https for http, or leads to no http server.
Result<Url> redirect_target(std::string_view method, const Url& from, int status, std::string_view location);

}  // namespace hitfs
