#include <fmt/core.h>

#include <cstdio>
#include <thread>
#include <utility>

#include "cli/access_words.h"
#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/lease.h"
#include "cli/units.h"

namespace hitfs {

namespace {

constexpr Milliseconds kAnswerLimit{10000};
constexpr Milliseconds kFollowEvery{500};

// Supervisor and daemon together; without its daemon the rest is shown all the same.
Result<Json> collect(const Context& context, Lease& lease) {
  Json request;
  request["op"] = "status";
  auto supervisor = lease.request(request, kAnswerLimit);
  if (!supervisor) return std::move(supervisor).error();
  Json all = Json(Json::Object{});
  auto daemon = lease.daemon().call("GET", "/v1/status", Json(), Deadline::after(kAnswerLimit));
  if (daemon) all = std::move(*daemon);
  if (!daemon) all["daemon_error"] = daemon.error().message;
  const Json& held = *supervisor;
  all["path"] = context.config.store.root.string();
  bool mounted = !held["mounts"].items().empty(), endpoint = !held["endpoint"].text_or("").empty();
  all["rung"] = mounted ? "mount" : endpoint ? "endpoint" : "none";
  all["supervisor"] = std::move(*supervisor);
  return all;
}

std::string limit_text(int64_t limit, bool bytes) {
  if (limit == 0) return "no limit";
  return bytes ? format_size(static_cast<uint64_t>(limit)) : std::to_string(limit);
}

void show_store(const Json& all, const Output& output) {
  const Json& store = all["store"];
  auto bytes = static_cast<uint64_t>(store["bytes"].integer_or(0));
  output.line(fmt::format("store      {}", all["path"].text_or("")));
  output.line(fmt::format("           {} entries, {} of {}, {} files of {}, {} evicted so far",
                          store["entries"].integer_or(0), format_size(bytes),
                          limit_text(store["max_bytes"].integer_or(0), true), store["files"].integer_or(0),
                          limit_text(store["max_files"].integer_or(0), false), store["evicted_entries"].integer_or(0)));
}

void show_fronts(const Json& all, const Output& output) {
  const Json& supervisor = all["supervisor"];
  output.line(fmt::format("rung       {}", all["rung"].text_or("")));
  for (const auto& mount : supervisor["mounts"].items()) {
    output.line(fmt::format("mount      {} (layout {}): {}, {} restarts", mount["path"].text_or(""),
                            mount["layout"].text_or(""), mount["state"].text_or(""),
                            mount["worker"]["restarts"].integer_or(0)));
  }
  for (const auto& [name, label] : {std::pair("endpoint", "listener"), std::pair("serve", "server")}) {
    auto url = supervisor[name].text_or("");
    if (url.empty()) continue;
    output.line(fmt::format("{:<10} {}: {}, {} restarts", name, url, supervisor[label]["state"].text_or(""),
                            supervisor[label]["restarts"].integer_or(0)));
  }
  output.line(fmt::format("daemon     {}, {} restarts", supervisor["daemon"]["state"].text_or("not running"),
                          supervisor["daemon"]["restarts"].integer_or(0)));
}

// What a disk refused to a process last: a store that takes nothing any more must not look like a cold one.
void show_disk_trouble(const std::string& process, const Json& about, const Output& output) {
  const Json& trouble = about["disk_trouble"];
  if (trouble.is_null()) return;
  output.line(fmt::format("disk       {}, {}: {}", format_time(trouble["time_ms"].integer_or(0)), process,
                          trouble["text"].text_or("")));
}

void show_disk_troubles(const Json& all, const Output& output) {
  const Json& supervisor = all["supervisor"];
  for (const auto* name : {"daemon", "listener", "server"}) show_disk_trouble(name, supervisor[name], output);
  for (const auto& mount : supervisor["mounts"].items()) {
    show_disk_trouble("mount " + mount["path"].text_or(""), mount["worker"], output);
  }
}

void show_traffic(const Json& all, const Output& output) {
  for (const auto& remote : all["remotes"].items()) {
    output.line(fmt::format("remote     {} ({}): breaker {}", remote["name"].text_or(""), remote["mode"].text_or(""),
                            remote["breaker"].text_or("closed")));
  }
  if (all["remotes"].items().empty()) output.line("remote     none: everything stays on this machine");
  const Json& queue = all["queue"];
  output.line(fmt::format("uploads    {} waiting ({}), {} running, {} refused", queue["waiting"].integer_or(0),
                          format_size(static_cast<uint64_t>(queue["waiting_bytes"].integer_or(0))),
                          queue["running"].integer_or(0), queue["parked"].integer_or(0)));
  for (const auto& parked : queue["parked_pushes"].items()) {
    output.line(fmt::format("           refused: {} by {}: {}", parked["key"].text_or(""), parked["remote"].text_or(""),
                            parked["why"].text_or("")));
  }
  const Json& totals = all["totals"];
  auto hit = totals["hit"].integer_or(0), miss = totals["miss"].integer_or(0);
  output.line(fmt::format("lookups    {} hit, {} miss{}; {} requests failed", hit, miss,
                          hit + miss > 0 ? fmt::format(" ({:.0f} % hits)", 100.0 * static_cast<double>(hit) /
                                                                               static_cast<double>(hit + miss))
                                         : "",
                          totals["failed"].integer_or(0)));
}

void show(const Json& all, const Output& output) {
  if (output.json()) return output.value(all);
  if (auto why = all["daemon_error"].text_or(""); !why.empty()) output.note("the daemon does not answer: " + why);
  show_store(all, output);
  show_fronts(all, output);
  show_traffic(all, output);
  show_disk_troubles(all, output);
}

// What changes by itself is no change.
Json without_clock(Json all) {
  all["supervisor"]["uptime_ms"] = 0;
  return all;
}

// One record of what happened to a key.
void show_access(Json record, const Output& output) {
  if (output.json()) {
    record["event"] = record["kind"];
    return output.value(record);
  }
  const Json& said = record;
  output.line(fmt::format("{}  {} {}", format_time(said["time_ms"].integer_or(0)), said["key"].text_or(""),
                          describe_access(said)));
}

// The status, then what happens, and the status again each time that it is another: for programs as one stream of
// lines, for people without the repetitions.
Status follow(const Context& context, Lease& lease) {
  const auto& output = context.output;
  Json shown;
  std::string place = "/v1/activity";
  while (true) {
    auto all = collect(context, lease);
    if (!all) return std::move(all).error();
    auto now = without_clock(*all);
    if (shown.is_null() || (output.json() && now != shown)) {
      (*all)["event"] = "status";
      show(*all, output);
    }
    shown = std::move(now);
    // A daemon that is being restarted is asked again.
    auto activity = lease.daemon().call("GET", place, Json(), Deadline::after(kAnswerLimit));
    if (activity) {
      for (const auto& record : std::as_const(*activity)["records"].items()) show_access(record, output);
      place = fmt::format("/v1/activity?after={}", std::as_const(*activity)["next"].integer_or(0));
    }
    if (std::fflush(stdout) != 0) return Ok{};
    std::this_thread::sleep_for(kFollowEvery);
  }
}

}  // namespace

int cmd_status(const Context& context) {
  auto lease = Lease::take(context, false);
  if (!lease) return context.output.fail(lease.error());
  if (context.arguments.follow) {
    auto ended = follow(context, *lease);
    return ended ? kDone : context.output.fail(ended.error());
  }
  auto all = collect(context, *lease);
  if (!all) return context.output.fail(all.error());
  show(*all, context.output);
  return kDone;
}

}  // namespace hitfs
