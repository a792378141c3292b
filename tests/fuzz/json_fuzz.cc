// JSON, and everything of ours that is written in it. The first byte of an input says what the rest is: 0 plain JSON,
// 1 JSON as nx reads it (comments, commas), 2 an nx.json and its preset (two lines), 3 options of a process, 4 a token
// file.
#include <cmath>
#include <cstdint>
#include <string>

#include "cli/nx/nx_json.h"
#include "cli/nx/relaxed_json.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/base/log.h"
#include "sync/listener/token_file.h"
#include "sync/options_json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

using fuzz::Input;
using fuzz::promise;
using fuzz::value_of;

int depth_of(const Json& json) {
  int deepest = 0;
  for (const auto& item : json.items()) deepest = std::max(deepest, depth_of(item));
  for (const auto& [name, member] : json.members()) deepest = std::max(deepest, depth_of(member));
  return deepest + (json.is_array() || json.is_object() ? 1 : 0);
}

void check_json(std::string_view text) {
  auto json = Json::parse(text);
  if (!json) {
    promise(json.error().code == Code::invalid_argument, "JSON is refused for what it is");
    return;
  }
  promise(depth_of(*json) <= Json::kMaxDepth + 1, "the depth is bounded");
  auto dumped = json->dump();
  promise(dumped.find('\n') == std::string::npos, "a dump is one line");
  auto again = value_of(Json::parse(dumped), "what was written is read");
  promise(again == *json, "JSON stays what it is", dumped);
  promise(value_of(Json::parse(json->dump_pretty()), "also for people") == *json, "JSON for people is the same");
}

void check_relaxed(std::string_view text) {
  auto plain = plain_json(text);
  promise(plain.size() <= text.size() && plain.size() + 3 >= text.size(), "what is blanked keeps its place");
  promise(std::count(plain.begin(), plain.end(), '\n') == std::count(text.begin(), text.end(), '\n'), "and its line");
  // One of several byte order marks is taken away.
  bool marked = plain.starts_with("\xef\xbb\xbf");
  promise(marked || !Json::parse(plain) || plain_json(plain) == plain, "plain JSON stays plain");
  // What is JSON for everybody means the same.
  auto strict = Json::parse(text);
  if (strict && !text.starts_with("\xef\xbb\xbf")) {
    promise(value_of(Json::parse(plain), "plain JSON is JSON") == *strict, "and the same");
  }
}

void check_nx_json(Input& input) {
  auto text = input.line();
  auto nx = parse_nx_json(text, input.all());
  static_cast<void>(preset_name(text));
  if (!nx) return;
  for (const auto& package : nx->packages) {
    for (const auto& mode : {package.local_mode, package.ci_mode}) {
      promise(!mode || !mode->word.empty() || mode->mode == RemoteMode::read, "a word that is no mode gives no right");
    }
  }
}

void check_options(std::string_view text) {
  auto json = Json::parse(text);
  if (!json) return;
  if (auto options = daemon_options_from(*json)) {
    auto again = value_of(daemon_options_from(to_json(*options)), "options are read again");
    promise(to_json(again) == to_json(*options), "options stay what they are");
  }
  if (auto options = listener_options_from(*json)) {
    auto again = value_of(listener_options_from(to_json(*options)), "options are read again");
    promise(to_json(again) == to_json(*options), "options stay what they are");
  }
}

void check_tokens(std::string_view text) {
  static const testing::TempDir folder;
  auto path = folder / "tokens.json";
  {
    auto file = value_of(io::create(path, "fuzz", {.mode = 0600, .exclusive = false}), "the file can be made");
    value_of(io::write_all_at(file.get(), io::as_bytes(text), 0, "fuzz"), "the file can be written");
  }
  auto records = list_tokens(path);
  if (!records) return;
  for (const auto& record : *records) {
    promise(!record.name.empty() && record.name.size() <= 64, "a token has a name");
    promise(record.read || record.write, "and a right");
    promise(!record.read_scopes.empty(), "and something to read");
  }
  auto access = value_of(TokenAccess::open(path), "what can be listed is in force");
  promise(!access->grant("nobody's"), "and opens nothing to anybody");
}

}  // namespace
}  // namespace hitfs

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  hitfs::log::set_level(hitfs::log::Level::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hitfs;
  fuzz::Input input(data, size);
  switch (input.number<uint8_t>() % 5) {
    case 0: check_json(input.all()); break;
    case 1: check_relaxed(input.all()); break;
    case 2: check_nx_json(input); break;
    case 3: check_options(input.all()); break;
    default: check_tokens(input.all());
  }
  return 0;
}
