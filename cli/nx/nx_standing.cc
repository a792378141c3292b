#include "cli/nx/nx_standing.h"

#include <string_view>
#include <utility>

namespace hitfs {

namespace {

constexpr const char* kEndpoint = "nx uses the endpoint";

std::string variable(const std::map<std::string, std::string>& environment, const std::string& name) {
  auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

bool is_true(const NxSituation& at, const char* name) { return variable(at.environment, name) == "true"; }

// The name under which one kind of package is installed; "" when it is not.
std::string installed(const NxSituation& at, const std::string& kind) {
  for (const char* prefix : {"@nx/", "@nx/powerpack-"}) {
    if (at.packages.contains(prefix + kind)) return prefix + kind;
  }
  return "";
}

bool uses_cloud(const NxSituation& at) {
  if (is_true(at, "NX_NO_CLOUD") || at.json.never_cloud) return false;
  return at.json.cloud || !variable(at.environment, "NX_CLOUD_ACCESS_TOKEN").empty() ||
         !variable(at.environment, "NX_CLOUD_AUTH_TOKEN").empty();
}

// Of nx 20; 21 has none any more.
bool uses_legacy_cache(const NxSituation& at) {
  bool asked_for =
      at.json.legacy_cache || is_true(at, "NX_DISABLE_DB") || variable(at.environment, "NX_DB_CACHE") == "false";
  return asked_for && at.major == 20;
}

// A custom task runner of nx 20 may do anything; most hand the tasks on to nx's own, which then uses the endpoint.
std::string unless_a_runner_keeps_it(const NxSituation& at) {
  if (at.major != 20 || at.json.runners.empty()) return "";
  return ", if " + at.json.runners.front() + " (tasksRunnerOptions) leaves caching to nx";
}

bool has_key(const NxSituation& at) {
  return at.key_file || !variable(at.environment, "NX_KEY").empty() ||
         !variable(at.environment, "NX_POWERPACK_LICENSE").empty();
}

// A package for an object store: it comes first when nx.json has its settings.
std::string store_package(const NxSituation& at, const char* key, const char* kind) {
  for (const auto& package : at.json.packages) {
    if (package.key == key) return installed(at, kind);
  }
  return "";
}

NxStanding asks_first(const std::string& package) {
  return {NxWay::other, "nx asks " + package + " before the endpoint; without that package it uses the endpoint"};
}

// Why the shared-directory package leaves the place to the next cache; "" when it does not.
std::string why_not_shared(const NxSituation& at) {
  if (installed(at, "shared-fs-cache").empty()) return "@nx/shared-fs-cache is not installed";
  if (!nx_is_in_ci(at.environment)) return "its shared-directory package is active only in CI";
  if (!has_key(at)) return "its shared-directory package finds no key (NX_KEY)";
  return "";
}

NxStanding shared_directory(const NxSituation& at) {
  auto package = installed(at, "shared-fs-cache");
  if (at.mounted) return {NxWay::mount, "nx uses the mount: it is in CI, and " + package + " has its key"};
  return {NxWay::other, "nx uses " + package + " on a directory that is not a mount of hitfs, and does not ask the " +
                            "endpoint; without that package it does"};
}

}  // namespace

bool nx_is_in_ci(const std::map<std::string, std::string>& environment) {
  auto ci = variable(environment, "CI");
  if (!ci.empty()) return ci != "false";
  for (const char* name : {"TF_BUILD", "GITHUB_ACTIONS", "BUILDKITE", "CIRCLECI", "CIRRUS_CI", "TRAVIS"}) {
    if (variable(environment, name) == "true") return true;
  }
  for (const char* name :
       {"bamboo.buildKey", "bamboo_buildKey", "CODEBUILD_BUILD_ID", "GITLAB_CI", "HEROKU_TEST_RUN_ID", "BUILD_ID",
        "BUILD_NUMBER", "BUILD_BUILDID", "TEAMCITY_VERSION", "JENKINS_URL", "HUDSON_URL"}) {
    if (!variable(environment, name).empty()) return true;
  }
  return false;
}

NxStanding nx_standing(const NxSituation& at) {
  for (const char* name :
       {"NX_SKIP_NX_CACHE", "NX_DISABLE_NX_CACHE", "NX_SKIP_REMOTE_CACHE", "NX_DISABLE_REMOTE_CACHE"}) {
    if (is_true(at, name)) return {NxWay::other, "nx uses no remote cache: " + std::string(name) + " is set"};
  }
  if (uses_legacy_cache(at)) {
    return {NxWay::other, "nx 20 uses its legacy cache (useLegacyCache), which knows no endpoint; without it nx does"};
  }
  if (uses_cloud(at)) return {NxWay::other, "nx uses Nx Cloud; with NX_NO_CLOUD=true it uses the endpoint"};
  if (auto s3 = store_package(at, "s3", "s3-cache"); !s3.empty()) return asks_first(s3);
  auto why = why_not_shared(at);
  if (why.empty()) return shared_directory(at);
  for (auto [key, kind] : {std::pair("gcs", "gcs-cache"), std::pair("azure", "azure-cache")}) {
    if (auto package = store_package(at, key, kind); !package.empty()) return asks_first(package);
  }
  auto unless = unless_a_runner_keeps_it(at);
  if (at.mounted) return {NxWay::endpoint, kEndpoint + unless + ", not the mount: " + why};
  return {NxWay::endpoint, kEndpoint + unless + ": no directory is mounted for it"};
}

}  // namespace hitfs
