#pragma once

#include <map>
#include <string>
#include <vector>

// The variables by which build tools find the endpoint.
namespace hitfs {

// What `run` and `start` set: the Nx variables, NO_PROXY and no_proxy (with what was in them before), and
// HITFS_ENDPOINT and HITFS_STORE for a hitfs inside.
[[nodiscard]] std::map<std::string, std::string> tool_variables(const std::string& url, const std::string& token,
                                                                const std::string& store,
                                                                const std::map<std::string, std::string>& environment);

// "NAME=value" of `environment` without `without`, with `with` set.
[[nodiscard]] std::vector<std::string> environment_of(const std::map<std::string, std::string>& environment,
                                                      const std::vector<std::string>& without,
                                                      const std::map<std::string, std::string>& with);

// The variables of the cache, for a command that runs without one.
[[nodiscard]] std::vector<std::string> cache_variables();

}  // namespace hitfs
