#include "cli/wiring.h"

#include <fmt/core.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/fuse_mounts.h"
#include "cli/lease.h"
#include "cli/process_config.h"
#include "cli/supervisor/run_supervisor.h"
#include "cli/supervisor/start.h"
#include "cli/units.h"
#include "store/base/subprocess.h"
#include "store/daemon_client.h"
#include "sync/daemon.h"
#include "sync/listener/listener.h"
#include "sync/options_json.h"

namespace hitfs {

namespace {

constexpr const char* kLogLevel = "HITFS_LOG_LEVEL";
// The descriptors of every process that the supervisor starts (store/base/subprocess.h).
constexpr int kConfig = 3, kReady = 4, kFirst = 5;

// --- options of the supervisor ---

DaemonOptions daemon_options(const Config& config, std::vector<RemoteOptions> remotes) {
  DaemonOptions options;
  options.store = config.store;
  options.limits = config.limits;
  options.remotes = std::move(remotes);
  options.patience = config.patience;
  options.generation = config.generation;
  options.max_artifact_bytes = config.max_artifact_bytes;
  options.max_unpacked_bytes = config.max_unpacked_bytes;
  options.continuous_integration = config.ci;
  options.on_push_failed = config.on_push_failed;
  return options;
}

std::string level_name(const Config& config) {
  for (const auto& one : config.effective) {
    if (one.key == "log-level") return one.value;
  }
  return "info";
}

Result<Json> supervisor_options(const Config& config, const SupervisorTask& task) {
  auto environment = ConfigSources::of_process().environment;
  auto remotes = resolve_remotes(config, environment);
  if (!remotes) return std::move(remotes).error();
  ListenerOptions loopback;
  loopback.store = config.store;
  loopback.max_artifact_bytes = config.max_artifact_bytes;
  Json json;
  json["store"] = percent_encode(config.store.root.native());
  json["daemon"] = to_json(daemon_options(config, std::move(*remotes)));
  json["loopback"] = to_json(loopback);
  if (task.serve) json["serve"] = to_json(*task.serve);
  json["started"] = task.started;
  json["foreground"] = task.serve || task.started;
  json["port"] = config.port;
  json["idle_ms"] = config.idle.count();
  json["flush_ms"] = config.flush_ci.count();
  json["settings"] = settings_digest(config);
  json["log_level"] = level_name(config);
  json["secrets"] = Json::Array{};
  for (auto& name : secret_variables(config, environment)) json["secrets"].push_back(std::move(name));
  return json;
}

Result<SupervisorOptions> read_supervisor_options(const Json& json) {
  SupervisorOptions options;
  auto root = percent_decode(json["store"].text_or(""));
  if (!root || root->empty()) return Error{Code::invalid_argument, "the supervisor's options name no store"};
  options.store.root = *root;
  options.daemon_options = json["daemon"];
  auto loopback = listener_options_from(json["loopback"]);
  if (!loopback) return std::move(loopback).error();
  options.loopback = std::move(*loopback);
  if (!json["serve"].is_null()) {
    auto serve = listener_options_from(json["serve"]);
    if (!serve) return std::move(serve).error();
    options.serve = std::move(*serve);
  }
  options.started = json["started"].bool_or(false);
  options.port = static_cast<uint16_t>(json["port"].integer_or(0));
  options.idle = Milliseconds(json["idle_ms"].integer_or(60000));
  options.flush = Milliseconds(json["flush_ms"].integer_or(60000));
  options.settings = json["settings"].text_or("");
  if (!json["foreground"].bool_or(false)) options.log_file = options.store.root / "supervisor.log";
  return options;
}

// --- the supervisor ---

Status flush_of_daemon(const StorePaths& store, Milliseconds limit) {
  constexpr Milliseconds kMargin{5000};
  auto daemon = DaemonClient::open(store);
  Json body;
  body["timeout_ms"] = limit.count();
  body["give_up"] = true;
  auto answer = daemon->call("POST", "/v1/flush", body, Deadline::after(limit + kMargin));
  if (!answer) return std::move(answer).error();
  auto pending = std::as_const(*answer)["pending"].integer_or(0);
  if (pending > 0) return Error{Code::unavailable, fmt::format("{} uploads are left for the next time", pending)};
  return Ok{};
}

SupervisorParts supervisor_parts(const StorePaths& store, const Json& options, MountDriver* mounts) {
  std::vector<std::string> secrets;
  for (const auto& name : options["secrets"].items()) secrets.push_back(name.text_or(""));
  secrets.emplace_back(kLogLevel);
  SupervisorParts parts;
  parts.program = kOwnProgram;
  parts.daemon_arguments = {"hitfs", "daemon"};
  parts.listener_arguments = {"hitfs", "listener"};
  parts.environment = environment_without(secrets);
  parts.environment.push_back(std::string(kLogLevel) + "=" + options["log_level"].text_or("info"));
  parts.listener_json = [](const ListenerOptions& of) { return to_json(of); };
  parts.flush = [store](Milliseconds limit) { return flush_of_daemon(store, limit); };
  parts.mounts = mounts;
  parts.silence = Milliseconds(10'000);
  parts.workers.program = kOwnProgram;
  parts.workers.arguments = {"hitfs", "mount-worker"};
  parts.workers.environment = parts.environment;
  return parts;
}

Status be_supervisor(const Json& json, int ready_fd) {
  auto options = read_supervisor_options(json);
  if (!options) return std::move(options).error();
  log::set_level(log::parse_level(json["log_level"].text_or("")).value_or(log::Level::info));
  auto mounts = make_fuse_mounts(options->store);
  auto parts = supervisor_parts(options->store, json, mounts.get());
  return run_supervisor(std::move(*options), std::move(parts), ready_fd);
}

// --- the internal commands ---

int fail(const Error& error) {
  constexpr log::Logger kLog{log::Folder::cli};
  kLog.error("{}", error.message);
  return kFailed;
}

int supervisor_main(const Json& json) {
  auto ended = be_supervisor(json, kReady);
  return ended ? kDone : fail(ended.error());
}

int daemon_main(const Json& json) {
  auto options = daemon_options_from(json);
  return options ? run_daemon(*options, kReady) : fail(options.error());
}

int listener_main(const Json& json) {
  auto options = listener_options_from(json);
  return options ? run_listener(*options, {kFirst}, kReady) : fail(options.error());
}

int worker_main(const Json& json) { return run_fuse_worker(json, kFirst, kFirst + 1, kReady); }

struct Internal {
  const char* name;
  const char* process;  // as ps(1) shows it
  int (*run)(const Json&);
};
constexpr std::array<Internal, 4> kInternal{{{"supervisor", "hitfs", supervisor_main},
                                             {"daemon", "hitfs-daemon", daemon_main},
                                             {"listener", "hitfs-listener", listener_main},
                                             {"mount-worker", "hitfs-mount", worker_main}}};

const Internal* find_internal(const char* name) {
  auto found = std::find_if(kInternal.begin(), kInternal.end(),
                            [name](const Internal& one) { return std::strcmp(one.name, name) == 0; });
  return found == kInternal.end() ? nullptr : &*found;
}

}  // namespace

Programs own_programs() {
  Programs programs;
  programs.program = kOwnProgram;
  programs.supervisor_arguments = {"hitfs", "supervisor"};
  programs.supervisor_options = supervisor_options;
  programs.run_supervisor_here = [](const Json& options) { return be_supervisor(options, -1); };
  return programs;
}

bool is_internal_command(const char* name) { return find_internal(name) != nullptr; }

int run_internal_command(int count, char** values) {
  const auto* command = find_internal(values[1]);
  // "--config-fd 3 --ready-fd 4", always these: anything else was typed by a person.
  if (count != 6 || std::strcmp(values[2], "--config-fd") != 0 || std::atoi(values[3]) != kConfig) {
    fmt::print(stderr, "hitfs: {} is started by hitfs itself; see hitfs --help\n", command->name);
    return kUsage;
  }
  // It holds tokens: nobody else may read its memory. exec resets this, so each process says it.
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_NAME, command->process);
  if (const char* level = std::getenv(kLogLevel)) log::set_level(log::parse_level(level).value_or(log::Level::info));
  auto config = read_process_config(kConfig);
  return config ? command->run(*config) : fail(config.error());
}

}  // namespace hitfs
