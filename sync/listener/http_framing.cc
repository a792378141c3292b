#include "sync/listener/http_framing.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "sync/listener/http_text.h"

namespace hitfs {

namespace {

Error refused(std::string_view why) { return {Code::invalid_argument, std::string(why)}; }

// RFC 9110, section 5.6.2.
bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_field_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

// The path and query forms of RFC 9112, section 3.2.1, as printable ASCII; the forms for proxies are refused.
bool is_origin_form(std::string_view target) {
  return target.starts_with('/') &&
         std::all_of(target.begin(), target.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

Result<std::optional<uint64_t>> length_of(const HttpHeaders& headers) {
  std::optional<uint64_t> length;
  for (const auto& [name, value] : headers) {
    if (!equal_ignoring_case(name, "content-length")) continue;
    if (length) return refused("two Content-Length headers");
    uint64_t number = 0;
    const char* end = value.data() + value.size();
    auto [stop, failure] = std::from_chars(value.data(), end, number);
    bool digits_only = !value.empty() && value.front() >= '0' && value.front() <= '9' && stop == end;
    if (!digits_only || failure != std::errc{} || number > static_cast<uint64_t>(INT64_MAX)) {
      return refused("Content-Length is not a number");
    }
    length = number;
  }
  return length;
}

size_t count(const HttpHeaders& headers, std::string_view wanted) {
  return static_cast<size_t>(std::count_if(
      headers.begin(), headers.end(), [&](const auto& header) { return equal_ignoring_case(header.first, wanted); }));
}

Status check_transfer_encoding(const HttpHeaders& headers, std::string_view version, bool has_length) {
  const auto* encoding = find_header(headers, "transfer-encoding");
  if (!encoding) return Ok{};
  if (has_length) return refused("Content-Length beside Transfer-Encoding");
  if (version != "HTTP/1.1") return refused("Transfer-Encoding needs HTTP/1.1");
  if (count(headers, "transfer-encoding") > 1 || !equal_ignoring_case(*encoding, "chunked")) {
    return refused("the only Transfer-Encoding is chunked");
  }
  return Ok{};
}

}  // namespace

Result<HttpRequest> checked_request(std::string_view method, std::string_view version, std::string_view target,
                                    HttpHeaders headers) {
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return refused("only HTTP/1.1 and HTTP/1.0 are spoken here");
  if (!is_token(method)) return refused("the method is not a word");
  if (!is_origin_form(target)) return refused("the request target is not a plain path");
  for (const auto& [name, value] : headers) {
    if (!is_token(name)) return refused("a header name holds a forbidden character");
    if (!is_field_value(value)) return refused("a header value holds a control character");
  }
  if (count(headers, "host") != 1) return refused("exactly one Host header is needed");
  auto length = length_of(headers);
  if (!length) return std::move(length).error();
  if (auto fine = check_transfer_encoding(headers, version, length->has_value()); !fine) {
    return std::move(fine).error();
  }
  auto question = target.find('?');
  HttpRequest request;
  request.method = method;
  request.path = target.substr(0, question);
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  request.headers = std::move(headers);
  request.content_length = *length;
  return request;
}

}  // namespace hitfs
