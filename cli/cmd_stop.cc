#include <algorithm>
#include <utility>

#include "cli/build_list.h"
#include "cli/build_session.h"
#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/lease.h"
#include "cli/supervisor/start.h"

namespace hitfs {

namespace {

constexpr Milliseconds kAnswerLimit{5000};
constexpr Milliseconds kEndLimit{60000};  // beside the flush: mounts, fronts and the daemon have 10 s each

Json request(const char* operation) {
  Json json;
  json["op"] = operation;
  return json;
}

// How the job went, as far as GitLab says so: "success", "failed" or "canceled"; "" elsewhere.
std::string job_status(const Context& context) {
  auto found = context.environment.find("CI_JOB_STATUS");
  return found == context.environment.end() ? "" : found->second;
}

// The run list of the build since `hitfs start`, but not of one that was interrupted: {list}, or null.
Json publish(const Context& context, DaemonClient& daemon, const std::string& session, const Json& begun) {
  auto status = job_status(context);
  if (session.empty() || status == "canceled") return Json();
  bool complete = !context.arguments.failed && (status.empty() || status == "success");
  auto list = publish_begun(context, daemon, begun_build_from(begun), session, complete);
  return list.is_null() ? Json() : Json(Json::Object{{"list", std::move(list)}});
}

int end_and_wait(const Context& context, ControlClient& control, Milliseconds flush, bool all_done) {
  Json stop = request("stop");
  stop["flush_ms"] = flush.count();
  if (auto stopped = control.request(stop, Deadline::after(kAnswerLimit));
      !stopped && !ControlClient::is_ending(stopped.error())) {
    return context.output.fail(stopped.error());
  }
  auto until = Deadline::after(flush + kEndLimit);
  if (auto closed = control.wait_until_closed(until); !closed) return context.output.fail(closed.error());
  if (auto free = wait_until_free(context.config.store, until); !free) return context.output.fail(free.error());
  return all_done ? kDone : kAnswerIsNo;
}

}  // namespace

int cmd_stop(const Context& context) {
  auto control = ControlClient::connect(context.config.store);
  if (!control) {
    context.output.note("nothing runs with the store " + context.config.store.root.string());
    return kDone;
  }
  auto limit = context.config.flush_ci;
  auto until = Deadline::after(limit);
  bool all_done = true;
  auto status = control->request(request("status"), Deadline::after(kAnswerLimit));
  if (status && std::as_const(*status)["daemon"]["state"].text_or("") == "ready") {
    auto daemon = DaemonClient::open(context.config.store);
    auto session = std::as_const(*status)["session"].text_or("");
    auto more = publish(context, *daemon, session, std::as_const(*status)["build"]);
    auto flushed = flush_pushes(
        *daemon, context.output, limit, [] { return false; }, GiveUp::when_stuck);
    if (flushed) name_what_is_left(context.output, *flushed);
    all_done = flushed && flushed->pending == 0;
    bool mounted = !std::as_const(*status)["mounts"].items().empty();
    if (!session.empty()) print_summary(*daemon, session, mounted ? "mount" : "endpoint", context.output, more);
  }
  return end_and_wait(context, *control, until.left(), all_done);
}

}  // namespace hitfs
