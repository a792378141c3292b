#include <fmt/core.h>

#include <optional>
#include <utility>

#include "cli/build_session.h"
#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/foreground.h"
#include "cli/lease.h"
#include "cli/nx/nx_directory.h"
#include "cli/nx/nx_standing.h"
#include "cli/nx/nx_workspace.h"
#include "cli/run_background.h"
#include "cli/tool_environment.h"
#include "store/key.h"

namespace hitfs {

namespace {

constexpr Milliseconds kMountLimit{30000};

// What the command gets: as much as there is.
struct Cache {
  std::optional<Lease> lease;
  std::optional<MountRequest> mount;
  std::optional<NxWorkspace> nx;  // where the mount was to be nx's cache folder
  [[nodiscard]] std::string rung() const { return mount ? "mount" : "endpoint"; }
};

Result<MountRequest> mount_for_run(const Context& context, Lease& lease) {
  auto request = mount_request(context);
  if (!request) return request;
  // Two nx that store the same hash in one folder get in each other's way, and one of them fails (cli/NX.md).
  request->alone = request->layout.name == "nx";
  Json message = request->json();
  message["op"] = "mount";
  auto mounted = lease.request(message, kMountLimit);
  if (!mounted) return std::move(mounted).error();
  auto place = percent_decode(std::as_const(*mounted)["mount_point"].text_or(""));
  if (!place || place->empty()) return Error{Code::internal, "the supervisor did not say where it mounted"};
  request->mount_point = *place;
  return request;
}

// Whatever is not to be had is said in one line.
Cache prepare(const Context& context) {
  Cache cache;
  auto lease = Lease::take(context, true);
  if (!lease) {
    context.output.note("no cache for this command: " + lease.error().message);
    return cache;
  }
  cache.lease.emplace(std::move(*lease));
  if (context.arguments.mount_point.empty()) return cache;
  std::error_code nowhere;
  auto here = std::filesystem::current_path(nowhere);
  if (context.config.layout.name == "nx" && !nowhere) cache.nx = find_nx_workspace(here);
  auto mount = mount_for_run(context, *cache.lease);
  if (mount) {
    auto wanted = resolve_mount_point(context.arguments.mount_point, false);
    if (wanted && *wanted != mount->mount_point) {
      context.output.note("another job uses " + wanted->string() + "; this one has " + mount->mount_point.string());
    }
    cache.mount = std::move(*mount);
  } else {
    context.output.note("no mount, only the endpoint: " + mount.error().message);
  }
  return cache;
}

// Which of the two ways nx will take, when there is an nx workspace.
void say_where_nx_stands(const Context& context, const Cache& cache) {
  std::error_code failure;
  auto folder = std::filesystem::current_path(failure);
  auto workspace = find_nx_workspace(folder);
  if (!workspace) return;
  auto json = read_nx_json(*workspace);
  if (!json) return context.output.note("which cache nx uses is not known: " + json.error().message);
  NxSituation situation;
  situation.environment = context.environment;
  situation.json = std::move(*json);
  situation.packages = installed_cache_packages(folder);
  situation.key_file = has_nx_key_file(*workspace);
  situation.major = nx_major_version(folder);
  situation.mounted = cache.mount && cache.mount->layout.name == "nx";
  context.output.note(nx_standing(situation).line);
}

// nx is led to the mount. Without one it must not go where the mount should be: rows of its own database would speak of
// files that are not there.
std::map<std::string, std::string> nx_variables(const Cache& cache, std::vector<std::string>& without) {
  if (!cache.nx) return {};
  if (cache.mount) return nx_directory_variables(*cache.nx, cache.mount->mount_point);
  for (const char* name : {"NX_CACHE_DIRECTORY", "NX_WORKSPACE_DATA_DIRECTORY"}) without.emplace_back(name);
  return {};
}

std::vector<std::string> environment_for(const Context& context, const Cache& cache) {
  auto without = secret_variables(context.config, context.environment);
  if (cache.lease) {
    auto with = tool_variables(cache.lease->url(), cache.lease->token(), context.config.store.root.string(),
                               context.environment);
    with.merge(nx_variables(cache, without));
    return environment_of(context.environment, without, with);
  }
  for (auto& name : cache_variables()) without.push_back(std::move(name));
  return environment_of(context.environment, without, {});
}

// The mount goes first: its worker hands over what the command finished.
void unmount(Cache& cache) {
  if (!cache.mount) return;
  Json message;
  message["op"] = "unmount";
  message["mount_point"] = percent_encode(cache.mount->mount_point.native());
  [[maybe_unused]] auto gone = cache.lease->request(message, kMountLimit);
}

void finish(const Context& context, Cache& cache, const std::string& session, const CommandEnd& end,
            ForegroundSignals& signals, RunBackground& beside) {
  auto rung = cache.rung();
  beside.collect_tasks();
  unmount(cache);
  // Whoever was told to end does not wait for uploads; they go on in the background.
  auto limit = end.told_to_end ? Milliseconds(0) : context.config.flush_limit();
  auto more = beside.finish(session, end, limit);
  auto flushed = flush_pushes(
      cache.lease->daemon(), context.output, limit, [&] { return signals.asked_to_end(); }, GiveUp::when_stuck);
  if (flushed) name_what_is_left(context.output, *flushed);
  print_summary(cache.lease->daemon(), session, rung, context.output, more);
}

}  // namespace

int cmd_run(const Context& context) {
  auto cache = prepare(context);
  const auto& required = context.arguments.require;
  if ((!required.empty() && !cache.lease) || (required == "mount" && !cache.mount)) {
    context.output.note("--require " + required + ": the command was not run");
    return kRunRefused;
  }
  const auto& words = context.arguments.words;
  CommandEnd how;
  {
    ForegroundSignals signals;
    if (cache.lease) say_where_nx_stands(context, cache);
    auto session = cache.lease ? begin_session(cache.lease->daemon()) : "";
    std::optional<RunBackground> beside;
    auto environment = environment_for(context, cache);
    if (cache.lease) beside.emplace(context, cache.lease->daemon(), environment);
    auto end = run_in_foreground(words, environment, signals);
    if (end) how = *end;
    if (!end) how.exit_code = report_not_started(words.front(), end.error());
    if (cache.lease) finish(context, cache, session, how, signals, *beside);
    beside.reset();
    cache.lease.reset();
  }
  return end_alike(how);
}

int cmd_run_without_cache(const std::vector<std::string>& words, const std::string& why) {
  fmt::print(stderr, "hitfs: no cache for this command: {}\n", why);
  auto environment = ConfigSources::of_process().environment;
  auto without = secret_variables({}, environment);
  for (auto& name : cache_variables()) without.push_back(std::move(name));
  ForegroundSignals signals;
  auto end = run_in_foreground(words, environment_of(environment, without, {}), signals);
  return end ? end_alike(*end) : report_not_started(words.front(), end.error());
}

}  // namespace hitfs
