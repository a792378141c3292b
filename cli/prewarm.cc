#include "cli/prewarm.h"

#include <fmt/core.h>

#include <utility>

#include "cli/units.h"

namespace hitfs {

namespace {

constexpr Milliseconds kAnswerLimit{5000};
constexpr size_t kShortCommit = 12;

uint64_t number(const Json& progress, const char* name) { return static_cast<uint64_t>(progress[name].integer_or(0)); }

std::string source_of(const Json& progress, const std::string& base) {
  if (progress["commit"].text_or("").empty()) return "";
  return " from the list of " + commit_place(progress, base);
}

std::string nothing_line(const Json& progress, const std::string& base) {
  auto trouble = progress["trouble"].text_or("");
  if (!trouble.empty()) return "nothing to prewarm: " + trouble;
  if (base.empty()) return "nothing to prewarm: no key was named";
  auto limit = progress["limit"].text_or("");
  if (!limit.empty()) return fmt::format("nothing prewarmed: {}", limit == "time" ? "time is up" : limit);
  return fmt::format("nothing to prewarm: none of the last {} commits of {} has a run list",
                     number(progress, "searched"), base);
}

}  // namespace

Result<std::string> begin_prewarm(DaemonClient& daemon, const PrewarmRequest& request) {
  Json::Array commits(request.commits.begin(), request.commits.end());
  Json::Array keys(request.keys.begin(), request.keys.end());
  Json body = Json::Object{{"commits", std::move(commits)},
                           {"keys", std::move(keys)},
                           {"max_bytes", request.max_bytes},
                           {"max_ms", request.max_time.count()}};
  auto answer = daemon.call("POST", "/v1/prewarm", body, Deadline::after(kAnswerLimit));
  if (!answer) return std::move(answer).error();
  return std::as_const(*answer)["prewarm"].text_or("");
}

Result<Json> prewarm_progress(DaemonClient& daemon, const std::string& id) {
  return daemon.call("GET", "/v1/prewarm/" + id, Json(), Deadline::after(kAnswerLimit));
}

Result<Json> end_prewarm(DaemonClient& daemon, const std::string& id) {
  return daemon.call("DELETE", "/v1/prewarm/" + id, Json(), Deadline::after(kAnswerLimit));
}

std::string commit_place(const Json& found, const std::string& base) {
  auto distance = number(found, "distance");
  auto place = distance == 0 ? base : fmt::format("{} before {}", distance, base);
  return fmt::format("{} ({})", found["commit"].text_or("").substr(0, kShortCommit), place);
}

std::string prewarm_line(const Json& progress, const std::string& base) {
  auto wanted = number(progress, "wanted");
  if (wanted == 0) return nothing_line(progress, base);
  auto line = fmt::format("prewarmed {} of {} ({}){}", number(progress, "pulled"), wanted,
                          format_size(number(progress, "bytes")), source_of(progress, base));
  std::string rest;
  auto add = [&](uint64_t count, const std::string& what) {
    if (count > 0) rest += fmt::format("{}{} {}", rest.empty() ? ": " : ", ", count, what);
  };
  add(number(progress, "here"), "were here");
  add(number(progress, "missing"), "missing");
  auto trouble = progress["trouble"].text_or("");
  add(number(progress, "failed"), "failed" + (trouble.empty() ? "" : " (" + trouble + ")"));
  auto limit = progress["limit"].text_or("");
  add(number(progress, "left_out"), fmt::format("left out ({})", limit == "bytes" ? "size" : limit));
  return line + rest;
}

}  // namespace hitfs
