#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/toml_file.h"
#include "store/base/log.h"
#include "store/entry_store.h"
#include "store/layout.h"
#include "store/store_paths.h"
#include "sync/options.h"

namespace hitfs {

// Where a setting comes from; a higher one wins.
enum class Source { standard, workspace, system_file, user_file, environment, flag };

// Of which builds `hitfs run` publishes the run list.
enum class RunListMode { off, clean, always };

// A remote as configured, before its token is fetched.
struct RemoteConfig {
  RemoteOptions options;  // mode and token are filled in later
  std::optional<RemoteMode> mode, mode_ci;
  std::string token_env;      // the variable that holds the token
  std::string token_file;     // first line
  std::string token_command;  // run by /bin/sh, first line of its output
  Source source = Source::standard;
  std::string origin;
  bool nx_variables = false;  // from NX_SELF_HOSTED_REMOTE_CACHE_SERVER: its token is ..._ACCESS_TOKEN
};

// Everything that flags, environment and files say, checked. A value.
struct Config {
  StorePaths store;
  LayoutOptions layout;
  std::vector<RemoteConfig> remotes;
  RemoteOptions remote_defaults;  // ca_file, verify_tls, allow_insecure_token of remotes that say nothing themselves
  std::optional<RemoteMode> mode, mode_ci;
  bool mode_beats_mode_ci = false;  // a mode from a flag beats a mode-ci from a file
  bool mode_of_this_call = false;   // a mode from a flag or variable beats those of single remotes
  std::optional<RemoteMode> workspace_mode, workspace_mode_ci;  // a workspace can only take rights away
  std::string token_file, token_command;                        // for remotes that name none
  StoreLimits limits;
  Patience patience;
  uint64_t generation = 0;
  uint64_t max_artifact_bytes = 8ull << 30;
  uint64_t max_unpacked_bytes = 16ull << 30;
  Milliseconds lookup_patience{2000};
  Milliseconds idle{60000};
  Milliseconds flush{10000}, flush_ci{60000};
  uint16_t port = 0;
  RunListMode run_list = RunListMode::clean;
  std::string prewarm_base;  // revision whose nearest run list `run` pulls; "" for none
  uint64_t prewarm_max_bytes = 4ull << 30;
  Milliseconds prewarm_max_time{300'000};
  std::string on_push_failed;
  log::Level log_level = log::Level::info;
  bool ci = false;  // $CI says that this is a machine that forgets

  struct Effective {
    std::string key, value, origin;
  };
  std::vector<Effective> effective;   // for `hitfs config`: every key, with where its value comes from
  std::vector<std::string> warnings;  // for people, one line each

  [[nodiscard]] Milliseconds flush_limit() const { return ci ? flush_ci : flush; }
};

// What load_config() looks at; a test gives its own.
struct ConfigSources {
  std::vector<RawSetting> flags;
  std::map<std::string, std::string> environment;
  std::optional<std::filesystem::path> only_file;  // --config: instead of the system's and the user's
  std::filesystem::path system_file = "/etc/hitfs/config.toml";
  std::filesystem::path working_directory;  // the workspace file is looked for from here upward
  std::string home;

  // Of this process.
  static ConfigSources of_process();
};

// Errors name file and line (or flag, or variable), key and remedy.
Result<Config> load_config(const ConfigSources& sources);

// The remotes with their modes and tokens, as the daemon is told them. Reads token files and runs credential commands
// (10 s at most); errors never hold a secret.
Result<std::vector<RemoteOptions>> resolve_remotes(const Config& config,
                                                   const std::map<std::string, std::string>& environment);

// Names of variables that hold tokens for remotes: not for the eyes of what `run` starts.
[[nodiscard]] std::vector<std::string> secret_variables(const Config& config,
                                                        const std::map<std::string, std::string>& environment);

// With the aliases of the field: read-only, no-cache, ...
Result<RemoteMode> parse_mode(std::string_view text);

}  // namespace hitfs
