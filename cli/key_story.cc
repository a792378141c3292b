#include "cli/key_story.h"

#include <fmt/core.h>

#include "cli/access_words.h"
#include "cli/units.h"
#include "store/key.h"

namespace hitfs {

namespace {

constexpr Milliseconds kAnswerLimit{10'000};

}  // namespace

Result<Json> key_story(DaemonClient& daemon, const std::string& key) {
  return daemon.call("GET", "/v1/why?key=" + percent_encode(key), Json(), Deadline::after(kAnswerLimit));
}

void tell_story(const std::string& key, const Json& story, const Output& output) {
  const auto& history = story["history"].items();
  auto state = story["state"].text_or("not known");
  bool never = history.empty() && state == "not here";
  output.line(key + ": " + (never ? std::string("never seen on this machine") : state));
  for (const auto& record : history) {
    output.line(fmt::format("  {}  {}", format_time(record["time_ms"].integer_or(0)), describe_access(record)));
  }
}

}  // namespace hitfs
