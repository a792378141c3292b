#include <fmt/core.h>

#include <future>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/lease.h"
#include "cli/units.h"
#include "store/key.h"

namespace hitfs {

namespace {

constexpr Milliseconds kLongest{24 * 3600 * 1000};
constexpr Milliseconds kRedraw{200};

Result<Json> verify(DaemonClient& daemon, const Json& body, const Output& output) {
  Progress progress(output, "verifying");
  auto answer = std::async(std::launch::async,
                           [&] { return daemon.call("POST", "/v1/verify", body, Deadline::after(kLongest)); });
  while (answer.wait_for(kRedraw) == std::future_status::timeout) {
    auto status = daemon.call("GET", "/v1/status", Json(), Deadline::after(kRedraw));
    if (!status) continue;
    const Json& now = *status;
    auto done = static_cast<uint64_t>(now["verified_bytes"].integer_or(0));
    progress.update(done, static_cast<uint64_t>(now["store"]["bytes"].integer_or(0)), format_size(done));
  }
  return answer.get();
}

}  // namespace

int cmd_verify(const Context& context) {
  Json body = Json(Json::Object{});
  if (!context.arguments.key.empty()) {
    auto key = Key::parse(context.arguments.key, "flat");
    if (!key) return context.output.fail(key.error());
    body["key"] = key->text();
  }
  auto lease = Lease::take(context, false);
  if (!lease) return context.output.fail(lease.error());
  auto answer = verify(lease->daemon(), body, context.output);
  if (!answer) return context.output.fail(answer.error());
  const Json& report = *answer;
  context.output.value(report);
  for (const auto& line : report["damaged"].items()) context.output.line("damaged: " + line.text_or(""));
  for (const auto& key : report["dropped"].items())
    context.output.line("dropped, will be pulled again: " + key.text_or(""));
  context.output.line(fmt::format(
      "{} entries, {} blobs, {}: {} damaged", report["entries"].integer_or(0), report["blobs"].integer_or(0),
      format_size(static_cast<uint64_t>(report["bytes"].integer_or(0))), report["damaged"].items().size()));
  return report["damaged"].items().empty() ? kDone : kAnswerIsNo;
}

}  // namespace hitfs
