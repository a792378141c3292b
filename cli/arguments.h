#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cli/toml_file.h"
#include "store/base/clock.h"

namespace hitfs {

// A command line, read; CLI11 does it, in arguments.cc alone.
struct Arguments {
  std::string command;  // "run", "status", ...; "token add" and the like as one
  bool json = false;
  std::optional<std::filesystem::path> config_file;
  std::vector<RawSetting> settings;  // --store, --remote, ...: flags of the configuration

  std::vector<std::string> words;  // run: the command and its arguments; prewarm: keys
  std::string mount_point;         // mount, unmount, run --mount
  std::string name;                // mount --name; token --name; put, get: the name of the entry
  bool allow_other = false, force = false, foreground = false, follow = false;
  bool print = false;   // init --print
  bool failed = false;  // stop --failed
  std::string require;  // run --require mount|endpoint
  std::string space = "flat";
  std::string path;  // put, get: file or folder; why: a path below a mount, or a key
  std::string key;   // why, verify
  std::string base;  // prewarm: the revision
  std::string listen = "127.0.0.1:8080", tokens_file, tls_certificate, tls_key;
  std::vector<std::string> hosts;
  std::vector<std::string> rights, read_scopes;  // token add
  std::string write_scope;
};

// What to do instead: `text` was asked for (--help, --version), or says what is wrong.
struct ArgumentsEnd {
  int exit_code;
  std::string text;
};

std::variant<Arguments, ArgumentsEnd> parse_arguments(int count, const char* const* values);

}  // namespace hitfs
