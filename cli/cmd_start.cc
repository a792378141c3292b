#include <fmt/core.h>

#include <cstdlib>
#include <fstream>

#include "cli/build_list.h"
#include "cli/build_session.h"
#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/lease.h"
#include "cli/supervisor/start.h"
#include "cli/tool_environment.h"

namespace hitfs {

namespace {

constexpr Milliseconds kAnswerLimit{5000};

int start_here(const Context& context) {
  auto options = context.programs.supervisor_options(context.config, {.serve = {}, .started = true});
  if (!options) return context.output.fail(options.error());
  if (auto made = make_store_folder(context.config.store); !made) return context.output.fail(made.error());
  auto ended = context.programs.run_supervisor_here(*options);
  return ended ? kDone : context.output.fail(ended.error());
}

// For the next steps of a GitHub job: appended to the file that it names, and the token hidden in its log.
Status append_for_github(const std::string& file, const std::map<std::string, std::string>& variables,
                         const std::string& token) {
  std::ofstream out(file, std::ios::app);
  for (const auto& [name, value] : variables) out << name << "=" << value << "\n";
  out.flush();
  if (!out) return Error{Code::internal, "cannot write to $GITHUB_ENV (" + file + ")"};
  fmt::print("::add-mask::{}\n", token);
  return Ok{};
}

}  // namespace

int cmd_start(const Context& context) {
  if (context.arguments.foreground) return start_here(context);
  auto lease = Lease::start(context);
  if (!lease) return context.output.fail(lease.error());
  // Its counters are shown by `stop`, which publishes its run list.
  Json request;
  request["op"] = "session";
  request["session"] = begin_session(lease->daemon());
  request["build"] = to_json(begin_build(context));
  [[maybe_unused]] auto kept = lease->request(request, kAnswerLimit);

  auto variables =
      tool_variables(lease->url(), lease->token(), context.config.store.root.string(), context.environment);
  Json json;
  for (const auto& [name, value] : variables) json[name] = value;
  context.output.value(json);
  auto github = context.environment.find("GITHUB_ENV");
  if (github != context.environment.end() && !github->second.empty() && !context.output.json()) {
    auto appended = append_for_github(github->second, variables, lease->token());
    if (!appended) return context.output.fail(appended.error());
    context.output.note("started; the next steps find it through $GITHUB_ENV");
    return kDone;
  }
  for (const auto& [name, value] : variables) context.output.line(name + "=" + value);
  return kDone;
}

}  // namespace hitfs
