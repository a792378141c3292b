#include "store/key.h"

#include <algorithm>

#include "store/base/io.h"
#include "store/digest.h"

namespace hitfs {

namespace {

bool is_unreserved(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

bool is_space_char(unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A field of the hashed name: its length first, so that no two different keys give the same bytes.
void append_field(std::string& into, std::string_view field) {
  into += std::to_string(field.size());
  into += ':';
  into += field;
}

}  // namespace

std::string percent_encode(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  for (unsigned char c : bytes) {
    if (is_unreserved(c)) {
      text += static_cast<char>(c);
      continue;
    }
    text += '%';
    text += kDigits[c >> 4];
    text += kDigits[c & 15];
  }
  return text;
}

Result<std::string> percent_decode(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      bytes += text[i];
      continue;
    }
    int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) return Error{Code::invalid_argument, "'%' must be followed by two hex digits"};
    bytes += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return bytes;
}

Result<Key> Key::make(std::string scope, std::string space, std::string name) {
  if (scope.size() > 255) return Error{Code::invalid_argument, "a scope has at most 255 bytes"};
  if (space.empty() || space.size() > 32 || !std::all_of(space.begin(), space.end(), is_space_char)) {
    return Error{Code::invalid_argument, "a namespace has 1 to 32 characters a-z, 0-9 and '-'"};
  }
  if (name.empty() || name.size() > 255) return Error{Code::invalid_argument, "a name has 1 to 255 bytes"};
  if (name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
    return Error{Code::invalid_argument, "a name has no '/' and no NUL byte"};
  }
  if (name == "." || name == "..") return Error{Code::invalid_argument, "'.' and '..' are no names"};
  return Key{std::move(scope), std::move(space), std::move(name)};
}

Result<Key> Key::parse(std::string_view text, std::string_view default_space) {
  std::string scope;
  if (auto colon = text.find(':'); colon != std::string_view::npos) {
    auto decoded = percent_decode(text.substr(0, colon));
    if (!decoded) return in_context("scope", std::move(decoded).error());
    scope = *std::move(decoded);
    text.remove_prefix(colon + 1);
  }
  std::string_view space = default_space;
  if (auto slash = text.find('/'); slash != std::string_view::npos) {
    space = text.substr(0, slash);
    text.remove_prefix(slash + 1);
  }
  auto name = percent_decode(text);
  if (!name) return in_context("name", std::move(name).error());
  return make(std::move(scope), std::string(space), *std::move(name));
}

std::string Key::text() const {
  std::string prefix = scope.empty() ? "" : percent_encode(scope) + ":";
  return prefix + space + "/" + percent_encode(name);
}

RemoteKey RemoteKey::of(const Key& key, uint64_t generation, std::string_view own_space) {
  // Its clients had their generation put into the name before.
  if (key.scope.empty() && key.space == kRawSpace) return {key, true, key.name};
  if (key.scope.empty() && generation == 0 && key.space == own_space) return {key, true, key.name};
  std::string hashed = "hitfs-name-1\n";
  append_field(hashed, key.scope);
  append_field(hashed, std::to_string(generation));
  append_field(hashed, key.space);
  append_field(hashed, key.name);
  return {key, false, Digest::of(io::as_bytes(hashed)).hex()};
}

}  // namespace hitfs
