// What a server may answer to our client. The first byte of an input says what the rest is:
//   0 the head of an answer, line by line   1 a redirect: status, method, from, to   2 an answer of the daemon (JSON)
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/daemon_messages.h"
#include "sync/remotes/http_head.h"
#include "tests/fuzz/fuzz.h"

namespace hitfs {
namespace {

using fuzz::Input;
using fuzz::promise;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  auto from = text.find_first_not_of(kBlanks);
  if (from == std::string_view::npos) return "";
  return text.substr(from, text.find_last_not_of(kBlanks) - from + 1);
}

// The values of a header in the last head.
std::vector<std::string> values(const std::vector<std::string_view>& lines, std::string_view name) {
  std::vector<std::string> found;
  for (auto line : lines) {
    if (line.starts_with("HTTP/")) found.clear();
    auto colon = line.find(':');
    if (line.starts_with("HTTP/") || colon == std::string_view::npos) continue;
    if (lower(without_blanks(line.substr(0, colon))) == name)
      found.emplace_back(without_blanks(line.substr(colon + 1)));
  }
  return found;
}

void check_head(Input& input) {
  HttpHead head;
  std::vector<std::string_view> lines;
  size_t bytes = 0;
  while (!input.empty()) {
    auto line = input.line();
    bytes += line.size();
    auto ended = head.line(line);
    promise(ended.has_value() == (bytes <= HttpHead::kMostBytes), "a head ends, or it is refused");
    if (!ended) return;
    lines.push_back(line);
  }
  const auto& answer = head.answer();
  auto lengths = values(lines, "content-length");
  promise(answer.length.has_value() == !lengths.empty(), "a length is known when one is said");
  promise(answer.framed || !answer.length, "a length frames a body");
  if (head.ambiguous_length()) return;
  for (const auto& text : lengths) {
    bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    promise(digits && answer.length == std::strtoull(text.c_str(), nullptr, 10), "an unambiguous length is that one");
  }
  auto types = values(lines, "content-type");
  promise(types.empty() || answer.content_type == lower(types.back()), "the type is the last one");
}

void check_redirect(Input& input) {
  constexpr int kStatus[] = {301, 302, 303, 307, 308};
  int status = kStatus[input.number<uint8_t>() % 5];
  std::string method = input.number<uint8_t>() % 2 == 0 ? "GET" : "PUT";
  auto from = Url::parse(input.line());
  if (!from) return;
  auto to = redirect_target(method, *from, status, input.all());
  if (!to) return;
  promise(to->scheme == "http" || to->scheme == "https", "a redirect leads to an http server");
  promise(from->scheme != "https" || to->scheme == "https", "a redirect does not leave https");
  promise(to->user.empty() && to->password.empty(), "a redirect carries no credentials");
  promise(method == "GET" || status == 307 || status == 308, "an upload stays one");
  promise(to->authority().find('@') == std::string::npos, "nor does its text");
}

void check_daemon(std::string_view text) {
  auto json = Json::parse(text);
  if (json) {
    if (auto batch = event_batch_from(*json)) {
      for (const auto& event : batch->events)
        promise(!has_key(event.kind) || !event.key.name.empty(), "a key is there");
    }
    static_cast<void>(fetch_reply_from(*json).has_value());
    static_cast<void>(commit_reply_from(*json).has_value());
    static_cast<void>(store_reply_from(*json).has_value());
  }
  auto error = error_from(500, text);
  promise(!to_string(error.code).empty() && error.message.size() <= text.size() + 100, "an error is one of ours");
}

}  // namespace
}  // namespace hitfs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hitfs;
  fuzz::Input input(data, size);
  switch (input.number<uint8_t>() % 3) {
    case 0: check_head(input); break;
    case 1: check_redirect(input); break;
    default: check_daemon(input.all());
  }
  return 0;
}
