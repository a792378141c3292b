#include "cli/tool_environment.h"

#include <algorithm>

namespace hitfs {

namespace {

constexpr const char* kServer = "NX_SELF_HOSTED_REMOTE_CACHE_SERVER";
constexpr const char* kToken = "NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN";

std::string value_of(const std::map<std::string, std::string>& environment, const char* name) {
  auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

// A tool reads one of the two spellings only, so each gets what either said.
std::string no_proxy(const std::map<std::string, std::string>& environment, const char* name, const char* other) {
  auto list = value_of(environment, name);
  if (list.empty()) list = value_of(environment, other);
  for (const char* host : {"127.0.0.1", "localhost"}) {
    if (("," + list + ",").find("," + std::string(host) + ",") != std::string::npos) continue;
    list += (list.empty() ? "" : ",") + std::string(host);
  }
  return list;
}

}  // namespace

std::map<std::string, std::string> tool_variables(const std::string& url, const std::string& token,
                                                  const std::string& store,
                                                  const std::map<std::string, std::string>& environment) {
  return {{kServer, url},
          {kToken, token},
          {"NO_PROXY", no_proxy(environment, "NO_PROXY", "no_proxy")},
          {"no_proxy", no_proxy(environment, "no_proxy", "NO_PROXY")},
          {"HITFS_ENDPOINT", url},
          {"HITFS_STORE", store}};
}

std::vector<std::string> environment_of(const std::map<std::string, std::string>& environment,
                                        const std::vector<std::string>& without,
                                        const std::map<std::string, std::string>& with) {
  std::vector<std::string> all;
  for (const auto& [name, value] : environment) {
    bool dropped = with.contains(name) || std::find(without.begin(), without.end(), name) != without.end();
    if (!dropped) all.push_back(name + "=" + value);
  }
  for (const auto& [name, value] : with) all.push_back(name + "=" + value);
  return all;
}

std::vector<std::string> cache_variables() { return {kServer, kToken, "HITFS_ENDPOINT"}; }

}  // namespace hitfs
