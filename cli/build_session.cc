#include "cli/build_session.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "cli/units.h"

namespace hitfs {

namespace {

constexpr Milliseconds kAnswerLimit{5000};
constexpr Milliseconds kSlice{250};
constexpr size_t kMostNamed = 10;

FlushResult result_of(const Json& answer) {
  return {static_cast<uint64_t>(answer["pending"].integer_or(0)), static_cast<uint64_t>(answer["parked"].integer_or(0)),
          answer["stuck"].bool_or(false), answer["left"].items(), answer["not_writable"].items()};
}

}  // namespace

std::string begin_session(DaemonClient& daemon) {
  auto answer = daemon.call("POST", "/v1/sessions", Json(Json::Object{}), Deadline::after(kAnswerLimit));
  return answer ? std::as_const(*answer)["session"].text_or("") : "";
}

Result<FlushResult> flush_pushes(DaemonClient& daemon, const Output& output, Milliseconds limit,
                                 const std::function<bool()>& stop, GiveUp give_up) {
  auto until = Deadline::after(limit);
  Progress progress(output, "uploading");
  uint64_t most = 0;
  while (true) {
    Json body;
    body["timeout_ms"] = std::min(kSlice, until.left()).count();
    body["give_up"] = give_up == GiveUp::when_stuck;
    auto answer = daemon.call("POST", "/v1/flush", body, Deadline::after(kSlice + kAnswerLimit));
    if (!answer) return std::move(answer).error();
    auto result = result_of(*answer);
    most = std::max(most, result.pending);
    if (result.pending == 0 || until.passed() || stop()) return result;
    if (result.stuck && give_up == GiveUp::when_stuck) return result;
    progress.update(most - result.pending, most, fmt::format("{} left", result.pending));
  }
}

void name_what_is_left(const Output& output, const FlushResult& left) {
  for (const auto& remote : left.not_writable) {
    output.note(fmt::format(
        "remote {} does not let this build write (hitfs status shows why); mode = \"read\" if that is meant",
        remote.text_or("")));
  }
  if (left.parked > 0 && left.not_writable.empty())
    output.note(fmt::format("{} uploads were refused: hitfs status shows why", left.parked));
  if (left.pending == 0) return;
  output.note(fmt::format("{} uploads are not done; they go on while hitfs runs, and the next time", left.pending));
  size_t named = 0;
  for (const auto& one : left.left) {
    if (++named > kMostNamed) return output.note(fmt::format("  and {} more", left.pending - kMostNamed));
    output.note(fmt::format("  {} ({}) to {}", one["key"].text_or("?"),
                            format_size(static_cast<uint64_t>(one["bytes"].integer_or(0))),
                            one["remote"].text_or("?")));
  }
}

std::string summary_line(const std::string& rung, const Json& counters) {
  auto count = [&](const char* name) { return counters[name].integer_or(0); };
  return fmt::format("hitfs: {} · {} hit ({} prewarmed) {} miss · {} pushed {} refused {} failed {} pending · {}", rung,
                     count("hit"), count("prewarmed"), count("miss"), count("pushed"), count("refused"),
                     count("failed"), count("pending"), format_seconds(Milliseconds(count("waited_ms"))));
}

void print_summary(DaemonClient& daemon, const std::string& session, const std::string& rung, const Output& output,
                   const Json& more) {
  Result<Json> counters = Error{Code::unavailable, "the daemon did not answer at the beginning"};
  if (!session.empty()) {
    counters = daemon.call("DELETE", "/v1/sessions/" + session, Json(), Deadline::after(kAnswerLimit));
  }
  if (!counters) return output.note(rung + " · no figures: " + counters.error().message);
  (*counters)["rung"] = rung;
  for (const auto& [name, value] : more.members()) (*counters)[name] = value;
  fmt::print(stderr, "{}\n", output.json() ? counters->dump() : summary_line(rung, *counters));
}

}  // namespace hitfs
