#include "sync/remotes/http_head.h"

#include <charconv>

namespace hitfs {

namespace {

std::string_view trimmed(std::string_view text) {
  auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

}  // namespace

Result<bool> HttpHead::line(std::string_view line) {
  bytes_ += line.size();
  if (bytes_ > kMostBytes) return Error{Code::corrupt, "the head of the answer never ends"};
  if (line.starts_with("HTTP/")) {
    answer_ = HttpAnswer{};
    answer_.framed = !line.starts_with("HTTP/1");
    chunked_ = false;
    return false;
  }
  if (trimmed(line).empty()) return true;
  if (auto colon = line.find(':'); colon != std::string_view::npos) {
    header(lower(trimmed(line.substr(0, colon))), trimmed(line.substr(colon + 1)));
  }
  return false;
}

void HttpHead::header(std::string_view name, std::string_view value) {
  if (name == "content-type") answer_.content_type = lower(value);
  if (name == "content-encoding") answer_.content_encoding = lower(value);
  if (name == "transfer-encoding" && lower(value) == "chunked") answer_.framed = chunked_ = true;
  if (name != "content-length") return;
  uint64_t length = 0;
  auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), length);
  bool valid = failure == std::errc() && end == value.data() + value.size();
  ambiguous_length_ |= !valid || (answer_.length && *answer_.length != length);
  answer_.length = length;
  answer_.framed = true;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Result<Url> redirect_target(std::string_view method, const Url& from, int status, std::string_view location) {
  auto refused = [&](const std::string& why) {
    return Error{Code::invalid_argument, "a redirect (" + std::to_string(status) + ") " + why};
  };
  bool same_method = status == 307 || status == 308;
  if (method != "GET" && !same_method) return refused("would turn a " + std::string(method) + " into a GET");
  auto to = Url::parse(location.substr(0, location.find('#')));
  if (!to) return refused("leads nowhere");
  if (to->scheme != "https" && to->scheme != "http") return refused("leads to " + to->scheme);
  if (from.scheme == "https" && to->scheme == "http") return refused("leads from https to http");
  to->user.clear();
  to->password.clear();
  return to;
}

}  // namespace hitfs
