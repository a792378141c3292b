#include "cli/nx/relaxed_json.h"

#include <algorithm>

namespace hitfs {

namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// The place after the text in quotes that begins at `at`.
size_t end_of_text(const std::string& json, size_t at) {
  for (++at; at < json.size() && json[at] != '"'; ++at) {
    if (json[at] == '\\') ++at;
  }
  return std::min(at + 1, json.size());
}

// The place after the comment that begins at `at`; `at` itself when there is none.
size_t end_of_comment(const std::string& json, size_t at) {
  bool line = json.compare(at, 2, "//") == 0, block = json.compare(at, 2, "/*") == 0;
  if (!line && !block) return at;
  auto end = line ? json.find('\n', at) : json.find("*/", at + 2);
  return end == std::string::npos ? json.size() : end + (block ? 2 : 0);
}

void blank(std::string& json, size_t from, size_t to) {
  std::replace_if(
      json.data() + from, json.data() + to, [](char c) { return c != '\n'; }, ' ');
}

}  // namespace

std::string plain_json(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::string json(text);
  auto comma = std::string::npos;  // the last thing before `at` that is no blank, if that is a comma
  for (size_t at = 0; at < json.size();) {
    if (auto end = end_of_comment(json, at); end != at) {
      blank(json, at, end);
      at = end;
      continue;
    }
    char c = json[at];
    if ((c == '}' || c == ']') && comma != std::string::npos) json[comma] = ' ';
    if (c == ',') comma = at;
    if (c != ',' && c != ' ' && c != '\t' && c != '\n' && c != '\r') comma = std::string::npos;
    at = c == '"' ? end_of_text(json, at) : at + 1;
  }
  return json;
}

}  // namespace hitfs
