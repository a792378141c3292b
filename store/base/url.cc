#include "store/base/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "store/key.h"

namespace hitfs {

namespace {

bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_scheme_char(char c) { return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.'; }
bool is_host_char(char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_'; }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// Where "://" ends and the authority begins; npos when there is none.
size_t authority_start(std::string_view text) {
  auto colon = text.find("://");
  return colon == std::string_view::npos ? colon : colon + 3;
}

Error refused(std::string_view text, std::string_view why) {
  return {Code::invalid_argument, redact_url(text) + ": " + std::string(why)};
}

Status parse_userinfo(Url& url, std::string_view userinfo) {
  auto colon = userinfo.find(':');
  auto user = percent_decode(userinfo.substr(0, colon));
  if (!user) return std::move(user).error();
  url.user = *std::move(user);
  if (colon == std::string_view::npos) return Ok{};
  auto password = percent_decode(userinfo.substr(colon + 1));
  if (!password) return std::move(password).error();
  url.password = *std::move(password);
  url.has_password = true;
  return Ok{};
}

Status parse_port(Url& url, std::string_view digits) {
  unsigned value = 0;
  auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (failure != std::errc() || end != digits.data() + digits.size() || value == 0 || value > 65535) {
    return Error{Code::invalid_argument, "a port is a number from 1 to 65535"};
  }
  url.port = static_cast<uint16_t>(value);
  return Ok{};
}

Status parse_host_and_port(Url& url, std::string_view text) {
  std::string_view rest;
  if (!text.empty() && text.front() == '[') {
    auto close = text.find(']');
    if (close == std::string_view::npos) return Error{Code::invalid_argument, "'[' without ']'"};
    url.host = lower(text.substr(1, close - 1));
    in6_addr parsed{};
    if (::inet_pton(AF_INET6, url.host.c_str(), &parsed) != 1) {
      return Error{Code::invalid_argument, "between [ and ] stands no IPv6 address"};
    }
    rest = text.substr(close + 1);
  } else {
    auto colon = text.find(':');
    url.host = lower(text.substr(0, colon));
    if (!std::all_of(url.host.begin(), url.host.end(), is_host_char)) {
      return Error{Code::invalid_argument, "the host has a character that no host name has"};
    }
    rest = colon == std::string_view::npos ? "" : text.substr(colon);
  }
  if (rest.empty()) return Ok{};
  if (rest.front() != ':') return Error{Code::invalid_argument, "only a port may follow the host"};
  return parse_port(url, rest.substr(1));
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  auto is_bad = [](unsigned char c) { return c <= ' ' || c == 0x7f || c == '\\' || c == '#'; };
  if (std::any_of(text.begin(), text.end(), is_bad)) {
    return refused(text, "a URL has no space, control character, '\\' or '#'");
  }
  auto start = authority_start(text);
  if (start == std::string_view::npos) return refused(text, "a URL looks like scheme://host/path");
  Url url;
  url.scheme = lower(text.substr(0, start - 3));
  if (url.scheme.empty() || !is_alpha(url.scheme[0]) ||
      !std::all_of(url.scheme.begin(), url.scheme.end(), is_scheme_char)) {
    return refused(text, "a URL starts with a scheme such as https");
  }
  auto end = std::min(text.find_first_of("/?", start), text.size());
  auto authority = text.substr(start, end - start);
  if (auto at = authority.rfind('@'); at != std::string_view::npos) {
    if (auto parsed = parse_userinfo(url, authority.substr(0, at)); !parsed)
      return refused(text, parsed.error().message);
    authority.remove_prefix(at + 1);
  }
  if (auto parsed = parse_host_and_port(url, authority); !parsed) return refused(text, parsed.error().message);
  if (url.host.empty() && url.scheme != "file") return refused(text, "the host is missing");
  auto question = std::min(text.find('?', end), text.size());
  url.path = text.substr(end, question - end);
  if (question < text.size()) url.query = text.substr(question + 1);
  return url;
}

std::string Url::authority() const {
  std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == 0 ? text : text + ":" + std::to_string(port);
}

std::string Url::text() const { return scheme + "://" + authority() + path + (query.empty() ? "" : "?" + query); }

uint16_t Url::effective_port() const {
  if (port != 0) return port;
  if (scheme == "https") return 443;
  return scheme == "http" ? 80 : 0;
}

bool Url::same_origin(const Url& other) const {
  return scheme == other.scheme && host == other.host && effective_port() == other.effective_port();
}

bool Url::is_loopback() const {
  if (host == "localhost") return true;
  in_addr four{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six{};
  return ::inet_pton(AF_INET6, host.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

std::string redact_url(std::string_view text) {
  auto start = authority_start(text);
  if (start == std::string_view::npos) start = 0;
  auto question = text.find('?', start);
  std::string query = question == std::string_view::npos ? "" : "?...";
  text = text.substr(0, question);
  // The last '@' counts, wherever it stands: a password with a '/' in it is no valid URL, but must not be shown either.
  auto at = text.rfind('@');
  auto shown = at == std::string_view::npos || at < start ? start : at + 1;
  return std::string(text.substr(0, start)) + std::string(text.substr(shown)) + query;
}

}  // namespace hitfs
