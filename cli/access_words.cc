#include "cli/access_words.h"

#include <string_view>
#include <utility>

namespace hitfs {

namespace {

std::string_view say(std::string_view kind) {
  constexpr std::pair<std::string_view, std::string_view> kSayings[] = {
      {"hit", "was answered from the store"},
      {"pulled", "was pulled"},
      {"miss", "was on no remote"},
      {"breaker_open", "was not asked for: the remote is down or asked for a pause (breaker open)"},
      {"budget_spent", "was not asked for: the build had waited enough (budget spent)"},
      {"fetch_failed", "could not be pulled"},
      {"refused", "was refused: damaged or over a limit"},
      {"stored", "was stored here"},
      {"pushed", "was uploaded"},
      {"push_failed", "could not be uploaded"},
      {"push_parked", "is not wanted by the remote"},
      {"evicted", "was evicted"}};
  for (const auto& [name, text] : kSayings) {
    if (name == kind) return text;
  }
  return kind;
}

}  // namespace

std::string describe_access(const Json& record) {
  auto detail = record["detail"].text_or("");
  return std::string(say(record["kind"].text_or(""))) + (detail.empty() ? "" : ": " + detail);
}

}  // namespace hitfs
