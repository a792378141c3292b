#include "cli/nx/init_plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "cli/config.h"
#include "cli/settings.h"
#include "store/base/url.h"
#include "sync/options_json.h"

namespace hitfs {

namespace {

constexpr const char* kServer = "NX_SELF_HOSTED_REMOTE_CACHE_SERVER";
constexpr const char* kToken = "NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN";
constexpr const char* kMode = "NX_POWERPACK_CACHE_MODE";
constexpr const char* kOwnFile = "~/.config/hitfs/config.toml";

constexpr const char* kHead =
    "# Written by `hitfs init` from nx.json and the environment. `hitfs config` shows what holds and why.\n"
    "# A pull request may change this file, so it can only take rights away: tokens, folders of a machine, commands "
    "and\n"
    "# limits are ignored here. They belong into ~/.config/hitfs/config.toml or the environment.\n";

// Object stores, by their key in nx.json.
struct ObjectStore {
  const char* key;
  const char* name;
};
constexpr ObjectStore kObjectStores[] = {{"s3", "S3"}, {"gcs", "Google Cloud Storage"}, {"azure", "Azure"}};

class Planner {
 public:
  explicit Planner(const InitFacts& facts) : facts_(facts) {}
  InitPlan plan();

 private:
  void modes();
  void mode_line(const char* key, const NxCachePackage& package, const char* setting, const std::optional<NxMode>& mode,
                 const char* where);
  void remote();
  void remote_with_token(const std::string& url);
  void packages();
  void object_store(const NxCachePackage& package, const char* name);
  void shared_folder();
  void runners();
  void remarks();

  void file(const std::string& line) { plan_.file += line + "\n"; }
  void note(const std::string& line) { plan_.notes.push_back(line); }
  [[nodiscard]] std::string variable(const std::string& name) const {
    auto found = facts_.environment.find(name);
    return found == facts_.environment.end() ? "" : found->second;
  }
  [[nodiscard]] bool has_token() const;
  [[nodiscard]] const NxCachePackage* package_with_mode() const;

  const InitFacts& facts_;
  InitPlan plan_;
};

// A server's URL that can be shown and copied: no credentials, no query, nothing that TOML would have to escape.
bool is_plain_server(const std::string& url) {
  auto parsed = Url::parse(url);
  if (!parsed || !parsed->user.empty() || parsed->has_password || !parsed->query.empty()) return false;
  return url.find_first_of("\"'@?#`$") == std::string::npos &&
         remote_of_url("nx+" + url, Source::workspace, "").has_value();
}

bool Planner::has_token() const {
  if (facts_.common_token || !variable(kToken).empty()) return true;
  return std::any_of(facts_.environment.begin(), facts_.environment.end(),
                     [](const auto& one) { return one.first.starts_with("HITFS_TOKEN") && !one.second.empty(); });
}

// The first one that nx asks decides.
const NxCachePackage* Planner::package_with_mode() const {
  const auto& all = facts_.json.packages;
  auto found =
      std::find_if(all.begin(), all.end(), [](const NxCachePackage& one) { return one.local_mode || one.ci_mode; });
  return found == all.end() ? nullptr : &*found;
}

void Planner::mode_line(const char* key, const NxCachePackage& package, const char* setting,
                        const std::optional<NxMode>& mode, const char* where) {
  std::string said = "is not set, which means read-write";
  if (mode) said = mode->word.empty() ? "was not understood: read is the careful reading" : "is " + mode->word;
  file(fmt::format("# nx.json: {}.{} {}. For {}.", package.key, setting, said, where));
  file(fmt::format("{} = \"{}\"", key, to_string(mode ? mode->mode : RemoteMode::readwrite)));
}

void Planner::modes() {
  file("");
  if (const auto* package = package_with_mode()) {
    mode_line("mode", *package, "localMode", package->local_mode, "machines that are no CI");
    mode_line("mode-ci", *package, "ciMode", package->ci_mode, "machines where $CI is set");
  } else {
    file("# nx.json sets no localMode and no ciMode, so every machine reads and writes. To let only CI write:");
    file("# mode = \"read\"");
    file("# mode-ci = \"readwrite\"");
  }
  if (variable(kMode).empty()) return;
  file(fmt::format("# {} is set where this was written. hitfs understands it as it is; it is not copied, because it",
                   kMode));
  file("# belongs to one machine or job.");
}

void Planner::remote_with_token(const std::string& url) {
  file(fmt::format("# {} is nx+{}", kServer, url));
  file("# It gets a token, so it must not stand here: a pull request could send the token elsewhere.");
  note(fmt::format(
      "The server of {} gets a token, so it does not belong into the workspace. Put this into {}:", kServer, kOwnFile));
  note("  [[remote]]");
  note(fmt::format("  url = \"nx+{}\"", url));
  note(fmt::format("  token-file = \"~/.config/hitfs/token\"   # or token-command, or token-env = \"{}\"", kToken));
  note(fmt::format("In CI nothing more is needed: `hitfs run` understands {} and {}.", kServer, kToken));
}

void Planner::remote() {
  auto url = variable(kServer);
  while (url.ends_with('/')) url.pop_back();
  auto ours = variable("HITFS_ENDPOINT");
  file("");
  if (url.empty() || (!ours.empty() && url.starts_with(ours))) {
    file(fmt::format("# {} is not set. A server that needs no token can stand here:", kServer));
    return file("# remote = \"nx+https://cache.example.com\"");
  }
  if (!is_plain_server(url)) {
    file(fmt::format("# {} is no plain URL; it is not copied.", kServer));
    return note(fmt::format("{} is no plain http or https URL, or holds credentials: it was not copied.", kServer));
  }
  if (has_token()) return remote_with_token(url);
  if (Url::parse(url)->is_loopback()) {
    return file(fmt::format("# {} names a server on this machine: of no use to others, so it is not copied.", kServer));
  }
  file(fmt::format("# {}, without a token.", kServer));
  file(fmt::format("remote = \"nx+{}\"", url));
}

void Planner::object_store(const NxCachePackage& package, const char* name) {
  auto place = package.place.empty() ? "" : " (" + package.place + ")";
  file("");
  file(fmt::format("# nx.json: {}{}. This build of hitfs has no {} remote yet.", package.key, place, name));
  file("# What works today: a server of Nx's own protocol, as `hitfs serve` is one (nx+https://HOST), or a drive that");
  file("# all machines mount (file:///PATH).");
  note(fmt::format(
      "{}{}: this build of hitfs has no {} remote yet. Today: nx+https://HOST (`hitfs serve`, or any server "
      "of Nx's protocol) or file:///PATH, in {} or HITFS_REMOTE.",
      package.key, place, name, kOwnFile));
}

void Planner::packages() {
  for (const auto& package : facts_.json.packages) {
    for (const auto& store : kObjectStores) {
      if (package.key == store.key) object_store(package, store.name);
    }
    if (!package.secrets.empty()) {
      std::string names;
      for (const auto& name : package.secrets) names += (names.empty() ? "" : ", ") + name;
      file(fmt::format("# Not copied from nx.json: {} (secrets; whoever reads the repository has them).", names));
      note(fmt::format("nx.json holds secrets, which were not copied: {} of {}. A cache of hitfs needs none of them.",
                       names, package.key));
    }
    note(fmt::format(
        "When you switch, take the cache package of {} out of package.json: nx asks it before the endpoint.",
        package.key));
  }
}

// The directory itself is nothing that hitfs can use: two that write into one would spoil it. But the plugin for it takes
// a mount as well.
void Planner::shared_folder() {
  const auto& folder = facts_.json.cache_directory;
  bool shared = std::any_of(facts_.json.packages.begin(), facts_.json.packages.end(),
                            [](const NxCachePackage& one) { return one.key == "sharedFs"; });
  bool absolute = folder.starts_with("/");
  bool from_variable = variable("NX_CACHE_DIRECTORY").starts_with("/");
  if (!shared && !absolute && !from_variable) return;
  file("");
  if (absolute) file(fmt::format("# nx.json: cacheDirectory is {}.", folder));
  if (from_variable) file("# NX_CACHE_DIRECTORY names a folder of this machine.");
  if (shared) {
    file("# nx.json: sharedFs. hitfs run --mount DIR gives @nx/shared-fs-cache a mount instead, in CI; its rules:");
    file("layout = \"nx\"");
  }
  file("# hitfs does not use a directory that nx writes. If it is on a drive that all machines mount, another folder");
  file("# of that drive works as a remote: file:///PATH. A workspace must not name a folder of a machine: name it in");
  file("# ~/.config/hitfs/config.toml or HITFS_REMOTE.");
  note(
      fmt::format("For a drive that all machines mount: remote = \"file:///PATH\" in {}, with a folder of its own, not "
                  "nx's cache directory.",
                  kOwnFile));
}

void Planner::runners() {
  if (facts_.json.runners.empty()) return;
  file("");
  for (const auto& runner : facts_.json.runners) file(fmt::format("# nx.json: tasksRunnerOptions has {}.", runner));
  file("# Nx 20 uses a custom task runner's cache with its legacy cache only; nx from 21 on ignores such runners.");
  file("# Nothing is taken over from such a cache: the first build starts cold. Hooks become preTasksExecution and");
  file("# postTasksExecution of a plugin (nx 20.4).");
  note("nx.json has a custom task runner: see \"Coming from something else\" in cli/NX.md.");
}

void Planner::remarks() {
  for (const auto& remark : facts_.json.remarks) note("nx.json: " + remark + ": not copied.");
  if (facts_.json.extends) note("nx.json extends a preset, which was not found: what it says of caches is not known.");
}

InitPlan Planner::plan() {
  plan_.file = kHead;
  modes();
  remote();
  packages();
  shared_folder();
  runners();
  remarks();
  return std::move(plan_);
}

}  // namespace

InitPlan plan_init(const InitFacts& facts) { return Planner(facts).plan(); }

}  // namespace hitfs
