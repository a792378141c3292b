// What people, files and environments say in one line. The first byte of an input says what the rest is: 0 a size,
// 1 a duration, 2 a URL, 3 a key, 4 bytes for percent-encoding, 5 a pattern and names for it, 6 other words.
#include <cstdint>
#include <string>

#include "cli/config.h"
#include "cli/units.h"
#include "store/base/log.h"
#include "store/base/url.h"
#include "store/digest.h"
#include "store/key.h"
#include "store/layouts/name_pattern.h"
#include "sync/listener/token_file.h"
#include "sync/run_list.h"
#include "tests/fuzz/fuzz.h"

namespace hitfs {
namespace {

using fuzz::Input;
using fuzz::promise;
using fuzz::value_of;

void check_size(std::string_view text) {
  auto size = parse_size(text);
  if (!size) return;
  promise(*size < 10'000'000'000'000'000'000ull, "a size fits");
  bool readable = *size <= 1'000'000'000'000'000;  // a number beyond 10^15 needs a unit
  promise(!readable || value_of(parse_size(std::to_string(*size)), "its bytes are a size") == *size, "the same size");
  promise(!format_size(*size).empty(), "a size can be shown");
}

void check_duration(std::string_view text) {
  auto duration = parse_duration(text);
  if (!duration) return;
  promise(duration->count() >= 0 && *duration <= std::chrono::hours(24 * 366), "a duration is at most a year");
  promise(value_of(parse_duration(format_duration(*duration)), "a duration that is shown") == *duration,
          "is what was said");
}

void check_url(std::string_view text) {
  auto url = Url::parse(text);
  auto shown = redact_url(text);
  if (!url) {
    promise(url.error().code == Code::invalid_argument, "a URL is refused for what it is");
    return;
  }
  auto again = value_of(Url::parse(url->text()), "a URL can be read again");
  promise(again.text() == url->text() && again.same_origin(*url), "a URL stays what it is");
  promise(again.user.empty() && again.password.empty(), "its text has no credentials");
  auto path_at = shown.find('/', shown.find("://") + 3);
  promise(shown.substr(0, path_at).find('@') == std::string::npos, "what is shown has no credentials", shown);
  promise(shown.find('?') == std::string::npos || shown.ends_with("?..."), "and no query", shown);
  promise(url->path.empty() || url->path.starts_with('/'), "a path starts with a slash");
  promise(url->path.find_first_of("?# \\") == std::string::npos, "and is one");
  promise(!url->host.empty() || url->scheme == "file", "there is a host");
}

void check_key(std::string_view text) {
  auto key = Key::parse(text, "flat");
  if (!key) return;
  auto shown = key->text();
  promise(value_of(Key::parse(shown, "nx"), "a key can be read again") == *key, "a key stays what it is");
  promise(key->name != "." && key->name != ".." && key->name.find('/') == std::string::npos, "its name is a name");
  auto remote = RemoteKey::of(*key, 0, "nx");
  promise(remote.plain || remote.name.size() == 64, "a name of ours is a hash on remotes");
  promise(RemoteKey::of(*key, 1, "nx").name != remote.name || remote.plain, "and changes with the generation");
}

void check_percent(std::string_view bytes) {
  promise(value_of(percent_decode(percent_encode(bytes)), "what was encoded") == bytes, "is decoded to itself");
  auto decoded = percent_decode(bytes);
  if (!decoded) return;
  promise(decoded->size() <= bytes.size(), "decoding makes nothing longer");
  promise(value_of(percent_decode(percent_encode(*decoded)), "once more") == *decoded, "and stays");
}

void check_pattern(Input& input) {
  auto pattern = NamePattern::compile(std::string(input.line()));
  if (!pattern) {
    promise(pattern.error().code == Code::invalid_argument, "a pattern is refused for what it is");
    return;
  }
  while (!input.empty()) {
    std::string name(input.line());
    bool matches = pattern->matches(name);
    promise(!matches || (!name.empty() && name.size() <= 255), "a name that matches can be one");
    promise(matches == pattern->matches(name), "and matches again");
  }
}

void check_words(std::string_view text) {
  if (auto number = parse_number(text, -5, 70000))
    promise(*number >= -5 && *number <= 70000, "a number is in its limits");
  if (auto digest = Digest::parse(text, 7)) promise(digest->hex() == text, "a digest is its digits");
  if (auto rights = parse_rights(text)) promise(rights->read || rights->write, "rights are some");
  static_cast<void>(parse_mode(text).has_value());
  static_cast<void>(parse_switch(text).has_value());
  static_cast<void>(log::parse_level(text));
  promise(nearest(text, {"mode", "max-size", "remote"}).size() <= 8, "the nearest word is one of those");
  promise(!is_commit_name(text) || text.size() >= 40, "a commit has a full name");
}

}  // namespace
}  // namespace hitfs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hitfs;
  fuzz::Input input(data, size);
  switch (input.number<uint8_t>() % 7) {
    case 0: check_size(input.all()); break;
    case 1: check_duration(input.all()); break;
    case 2: check_url(input.all()); break;
    case 3: check_key(input.all()); break;
    case 4: check_percent(input.all()); break;
    case 5: check_pattern(input); break;
    default: check_words(input.all());
  }
  return 0;
}
