#include "cli/lease.h"

#include <fmt/core.h>

#include <utility>

#include "cli/supervisor/start.h"
#include "store/base/io.h"
#include "store/base/subprocess.h"
#include "store/digest.h"
#include "store/key.h"

namespace hitfs {

namespace {

Result<SupervisorCommand> supervisor_command(const Context& context) {
  auto options = context.programs.supervisor_options(context.config, {});
  if (!options) return std::move(options).error();
  SupervisorCommand command;
  command.program = context.programs.program;
  command.arguments = context.programs.supervisor_arguments;
  // Whoever may read /proc/PID/environ finds no token there.
  command.environment = environment_without(secret_variables(context.config, context.environment));
  command.config = std::move(*options);
  return command;
}

Result<ControlClient> reach(const Context& context, const Deadline& until) {
  return reach_supervisor(
      context.config.store, [&] { return supervisor_command(context); }, until);
}

bool is_nested(const Context& context) { return context.environment.contains("HITFS_ENDPOINT"); }

}  // namespace

Result<Lease> Lease::connect(const Context& context) {
  auto control = reach(context, Deadline::after(kStartLimit));
  if (!control) return std::move(control).error();
  return Lease(std::move(*control), context.config.store);
}

// One that is just ending is waited for, and then a new one is asked.
Result<Lease> Lease::ask(const Context& context, const Json& request) {
  auto until = Deadline::after(kStartLimit);
  while (true) {
    auto control = reach(context, until);
    if (!control) return std::move(control).error();
    auto answer = control->request(request, until);
    if (!answer && answer.error().code == Code::unavailable && control->is_ending(answer.error()) && !until.passed()) {
      if (auto closed = control->wait_until_closed(until); !closed) return std::move(closed).error();
      continue;
    }
    if (!answer) return std::move(answer).error();
    const Json& said = *answer;
    auto settings = said["settings"].text_or("");
    if (!settings.empty() && settings != settings_digest(context.config) && !is_nested(context)) {
      context.output.note("joined a hitfs that runs with other settings; `hitfs stop` first to use these");
    }
    Lease lease(std::move(*control), context.config.store);
    lease.url_ = said["url"].text_or("");
    lease.token_ = said["token"].text_or("");
    return lease;
  }
}

Result<Lease> Lease::take(const Context& context, bool endpoint) {
  Json request;
  request["op"] = "lease";
  request["endpoint"] = endpoint;
  return ask(context, request);
}

Result<Lease> Lease::start(const Context& context) {
  Json request;
  request["op"] = "start";
  return ask(context, request);
}

Result<Json> Lease::request(const Json& request, Milliseconds limit) {
  return control_.request(request, Deadline::after(limit));
}

DaemonClient& Lease::daemon() {
  if (!daemon_) daemon_ = DaemonClient::open(store_);
  return *daemon_;
}

std::string settings_digest(const Config& config) {
  std::string text;
  // What concerns one command, or one mount, is no setting of what runs.
  auto of_a_command = [](const std::string& key) {
    return key == "layout" || key == "pattern" || key == "complete" || key == "flush" || key == "run-list" ||
           key.starts_with("prewarm-");
  };
  for (const auto& one : config.effective) {
    if (!of_a_command(one.key)) {
      text += fmt::format("{}={}\n", one.key, one.value);
    }
  }
  return Digest::of(io::as_bytes(text)).hex();
}

Result<std::filesystem::path> resolve_mount_point(const std::string& text, bool make) {
  std::error_code failure;
  std::filesystem::path path = std::filesystem::absolute(text, failure).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (make) {
    // A dead mount is there, too, though it cannot be looked at: the supervisor takes it away.
    auto made = io::make_directories(path, 0755, "mount point");
    if (!made && std::filesystem::symlink_status(path, failure).type() == std::filesystem::file_type::not_found) {
      return in_context("mount point", std::move(made).error());
    }
  }
  // Only the folder above is resolved: the last name may be a mount that does not answer.
  auto parent = std::filesystem::canonical(path.parent_path(), failure);
  if (failure) return system_error("mount point " + path.string(), failure.value());
  return parent / path.filename();
}

Result<MountRequest> mount_request(const Context& context) {
  const auto& arguments = context.arguments;
  if (!arguments.name.empty()) {
    if (auto checked = check_mount_name(arguments.name); !checked) return std::move(checked).error();
  }
  // Its mistakes are told before anything starts.
  if (auto layout = make_layout(context.config.layout); !layout) return std::move(layout).error();
  if (arguments.allow_other && context.config.layout.name == "nx") {
    return Error{Code::invalid_argument,
                 "layout nx does not go with --allow-other: nx's databases lie in the store, which only its own user can "
                 "reach; run hitfs as the user that runs nx"};
  }
  auto place = resolve_mount_point(arguments.mount_point, true);
  if (!place) return std::move(place).error();
  MountRequest request;
  request.mount_point = *place;
  request.name = arguments.name.empty() ? default_mount_name(*place) : arguments.name;
  request.layout = context.config.layout;
  request.allow_other = arguments.allow_other;
  request.force = arguments.force;
  request.lookup_patience = context.config.lookup_patience;
  return request;
}

}  // namespace hitfs
