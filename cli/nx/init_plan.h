#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/nx/nx_json.h"

// What `hitfs init` makes of an Nx workspace.
namespace hitfs {

struct InitFacts {
  NxJson json;
  std::map<std::string, std::string> environment;  // secrets in it are looked at for being there, never copied
  bool common_token = false;                       // the user's configuration names a token for every remote
};

// A value; neither part holds a secret.
struct InitPlan {
  std::string file;                // the text of .hitfs.toml: only what a workspace may say, and comments
  std::vector<std::string> notes;  // for the terminal: what belongs elsewhere, and what was not understood
};

// Pure. The file is read back by load_config() without a warning in this environment.
[[nodiscard]] InitPlan plan_init(const InitFacts& facts);

}  // namespace hitfs
