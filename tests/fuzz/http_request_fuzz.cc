// What strangers may send to our listener: a request line and headers, as libmicrohttpd hands them over. What is taken
// has one meaning for us and for any proxy before us.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "sync/listener/access.h"
#include "sync/listener/cache_handler.h"
#include "sync/listener/host_check.h"
#include "sync/listener/http_framing.h"
#include "tests/fuzz/fuzz.h"

namespace hitfs {
namespace {

using fuzz::Input;
using fuzz::promise;

constexpr std::string_view kToken = "0123456789abcdef";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; });
}

std::vector<std::string> values(const HttpHeaders& headers, std::string_view wanted) {
  std::vector<std::string> found;
  for (const auto& [name, value] : headers) {
    if (lower(name) == wanted) found.push_back(value);
  }
  return found;
}

void check_framing(const HttpRequest& request, std::string_view version) {
  auto lengths = values(request.headers, "content-length");
  auto codings = values(request.headers, "transfer-encoding");
  promise(values(request.headers, "host").size() == 1, "one Host");
  promise(lengths.size() + codings.size() <= 1, "one way to find the end of the body");
  promise(request.content_length.has_value() == !lengths.empty(), "a length is known when one is said");
  promise(codings.empty() || (lower(codings[0]) == "chunked" && version == "HTTP/1.1"), "chunks are the only coding");
  if (lengths.empty()) return;
  promise(lengths[0].find_first_not_of("0123456789") == std::string::npos, "a length has digits only");
  promise(request.content_length == std::strtoull(lengths[0].c_str(), nullptr, 10), "the length is what was said");
}

void check_request(const HttpRequest& request, std::string_view target) {
  promise(request.path.starts_with('/'), "a path starts with a slash");
  promise(request.path + (request.query.empty() ? "" : "?" + request.query) == target || request.path + "?" == target,
          "nothing of the target is lost");
  for (const auto& [name, value] : request.headers) {
    promise(!name.empty() && !has_control(name) && name.find_first_of(" \t:") == std::string::npos, "a name is a word");
    promise(!has_control(value), "no value begins a line");
  }
}

// Only our own names are answered, whatever stands around them.
void check_host(std::string_view host) {
  static const auto kHosts = HostCheck::loopback_and({"cache.example.com:8080"});
  if (!kHosts.allows(host)) return;
  auto colon = host.rfind(':');
  bool has_port = colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos;
  auto port = has_port ? host.substr(colon + 1) : "";
  promise(port.find_first_not_of("0123456789") == std::string_view::npos, "a port is a number");
  auto name = lower(has_port ? host.substr(0, colon) : host);
  promise(name == "127.0.0.1" || name == "localhost" || name == "[::1]" || name == "cache.example.com",
          "only names of ours are answered", host);
}

void check_token(std::string_view authorization) {
  static LoopbackAccess access(kToken);
  auto token = bearer_token(authorization);
  if (!token) return;
  promise(!token->empty() && authorization.ends_with(*token), "a token is the end of the header");
  promise(lower(authorization.substr(0, 7)) == "bearer ", "and follows its scheme");
  promise(access.grant(*token).has_value() == (*token == kToken), "one token opens, and no other");
}

// The name after /v1/cache/ is a file name of ours, or none at all.
void check_name(std::string_view path) {
  constexpr std::string_view kPrefix = "/v1/cache/";
  if (!path.starts_with(kPrefix)) return;
  std::string name(path.substr(kPrefix.size()));
  bool decimal = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos && name.size() <= 255;
  promise((space_of_name(ListenerKind::loopback, name) == "nx") == decimal, "an nx hash is decimal");
  auto space = space_of_name(ListenerKind::serve, name);
  if (space.empty()) return;
  promise(Key::make("", space, name).has_value(), "a name that is served is a key", name);
  promise(percent_encode(name) == name, "and needs no escapes", name);
}

}  // namespace
}  // namespace hitfs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hitfs;
  fuzz::Input input(data, size);
  auto request_line = input.line();
  auto first = std::min(request_line.find(' '), request_line.size());
  auto last = request_line.rfind(' ');
  if (last == std::string_view::npos || last <= first) return 0;
  auto method = request_line.substr(0, first);
  auto target = request_line.substr(first + 1, last - first - 1);
  auto version = request_line.substr(last + 1);
  HttpHeaders headers;
  while (!input.empty()) {
    auto line = input.line();
    auto colon = std::min(line.find(':'), line.size());
    auto value = line.substr(std::min(colon + 1, line.size()));
    headers.emplace_back(line.substr(0, colon), value.substr(value.starts_with(' ') ? 1 : 0));
  }
  for (const auto& [name, value] : headers) {
    check_host(value);
    check_token(value);
  }
  auto request = checked_request(method, version, target, headers);
  if (!request) {
    fuzz::promise(request.error().code == Code::invalid_argument, "a request is refused for what it is");
    return 0;
  }
  check_framing(*request, version);
  check_request(*request, target);
  check_name(request->path);
  return 0;
}
