#pragma once

#include <map>
#include <set>
#include <string>

#include "cli/nx/nx_json.h"

// Which remote cache nx takes. The order is that of nx's own source, the same in 20.8 to 24.0: Nx Cloud; the packages
// for S3, the shared directory, GCS and Azure; the HTTP cache, which is our endpoint. A package that is not installed
// or returns nothing leaves it to the next one. That the shared-directory package returns nothing outside CI is
// documented behaviour, tried with a stand-in of our own.
namespace hitfs {

// What the answer depends on. A value.
struct NxSituation {
  std::map<std::string, std::string> environment;
  NxJson json;
  std::set<std::string> packages;  // as installed_cache_packages() says
  bool key_file = false;           // as has_nx_key_file() says
  int major = 0;                   // of nx; 0 when not known
  bool mounted = false;            // hitfs shows its mount for nx as the cache directory
};

enum class NxWay {
  endpoint,  // HTTP on loopback: ours
  mount,     // the shared-directory package on our mount
  other,     // another cache comes first, or none is used: hitfs is not asked
};

struct NxStanding {
  NxWay way;
  std::string line;  // for people: which way, and why
};

// Pure.
[[nodiscard]] NxStanding nx_standing(const NxSituation& situation);

// As nx itself decides it, from CI and the variables of CI systems.
[[nodiscard]] bool nx_is_in_ci(const std::map<std::string, std::string>& environment);

}  // namespace hitfs
