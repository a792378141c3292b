// How remotes get their modes and tokens; the rest of the configuration is in config.cc.
#include <fmt/core.h>

#include <algorithm>

#include "cli/config.h"
#include "cli/program.h"
#include "store/base/io.h"
#include "store/base/subprocess.h"

namespace hitfs {

namespace {

constexpr size_t kLongestToken = 16 << 10;
constexpr Milliseconds kCommandLimit{10000};
constexpr const char* kNxToken = "NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN";
using Environment = std::map<std::string, std::string>;

std::string variable(const Environment& environment, const std::string& name) {
  auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

std::string first_line(const std::string& text) {
  auto line = text.substr(0, text.find('\n'));
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  return line;
}

// A token goes into a header line: no control characters.
Result<std::string> checked_token(std::string token, const std::string& origin) {
  bool printable = std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!token.empty() && printable && token.size() <= kLongestToken) return token;
  return Error{Code::invalid_argument, origin + ": there is no usable token (one line of printable text)"};
}

// HITFS_TOKEN_BUILD_CACHE for a remote named "build-cache".
std::string token_variable(const std::string& remote_name) {
  std::string name = "HITFS_TOKEN_";
  for (char c : remote_name) {
    bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += plain ? c : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : '_';
  }
  return name;
}

Result<std::string> token_of_file(const std::string& path) {
  auto text = io::read_file(path, kLongestToken);
  if (!text) return in_context("token-file", std::move(text).error());
  return checked_token(first_line(*text), "token-file " + path);
}

Result<std::string> token_of_command(const std::string& command, const std::string& origin) {
  ProgramCall call;
  call.arguments = {"/bin/sh", "-c", command};
  call.environment = environment_without({});
  call.limit = kCommandLimit;
  call.most_output = kLongestToken;
  call.keep_errors = false;
  call.own_group = false;
  auto ended = run_program(call);
  if (ended && ended->exit_code != 0) ended = Error{Code::unavailable, "the command failed"};
  if (!ended) return in_context(origin + ": token-command", std::move(ended).error());
  return checked_token(first_line(ended->output), origin + ": token-command");
}

// The nearest one counts; "" when nobody names one.
Result<std::string> token_of(const RemoteConfig& remote, const Config& config, const Environment& environment) {
  if (remote.options.url.starts_with("file:") || remote.source == Source::workspace) return std::string();
  if (!remote.token_env.empty()) {
    return checked_token(variable(environment, remote.token_env), remote.origin + ": token-env " + remote.token_env);
  }
  if (auto own = variable(environment, token_variable(remote.options.name)); !own.empty()) {
    return checked_token(own, "environment " + token_variable(remote.options.name));
  }
  if (!remote.token_file.empty()) return token_of_file(remote.token_file);
  if (!remote.token_command.empty()) return token_of_command(remote.token_command, remote.origin);
  if (remote.nx_variables && !variable(environment, kNxToken).empty()) {
    return checked_token(variable(environment, kNxToken), std::string("environment ") + kNxToken);
  }
  if (auto common = variable(environment, "HITFS_TOKEN"); !common.empty()) {
    return checked_token(common, "environment HITFS_TOKEN");
  }
  if (!config.token_file.empty()) return token_of_file(config.token_file);
  if (!config.token_command.empty()) return token_of_command(config.token_command, "token-command");
  return std::string();
}

constexpr int bits(RemoteMode mode) {
  switch (mode) {
    case RemoteMode::off: return 0;
    case RemoteMode::read: return 1;
    case RemoteMode::write: return 2;
    case RemoteMode::readwrite: return 3;
  }
  return 0;
}

RemoteMode both(RemoteMode left, RemoteMode right) {
  constexpr RemoteMode kByBits[] = {RemoteMode::off, RemoteMode::read, RemoteMode::write, RemoteMode::readwrite};
  return kByBits[bits(left) & bits(right)];
}

RemoteMode mode_of(const RemoteConfig& remote, const Config& config) {
  auto common = config.ci && config.mode_ci && !config.mode_beats_mode_ci ? config.mode_ci : config.mode;
  auto own = config.ci && remote.mode_ci ? remote.mode_ci : remote.mode;
  auto mode = config.mode_of_this_call ? common : own ? own : common;
  auto most = config.ci && config.workspace_mode_ci ? config.workspace_mode_ci : config.workspace_mode;
  return both(mode.value_or(RemoteMode::readwrite), most.value_or(RemoteMode::readwrite));
}

}  // namespace

Result<RemoteMode> parse_mode(std::string_view text) {
  constexpr std::pair<std::string_view, RemoteMode> kNames[] = {{"off", RemoteMode::off},
                                                                {"none", RemoteMode::off},
                                                                {"no-cache", RemoteMode::off},
                                                                {"disabled", RemoteMode::off},
                                                                {"read", RemoteMode::read},
                                                                {"read-only", RemoteMode::read},
                                                                {"readonly", RemoteMode::read},
                                                                {"pull", RemoteMode::read},
                                                                {"write", RemoteMode::write},
                                                                {"write-only", RemoteMode::write},
                                                                {"push", RemoteMode::write},
                                                                {"readwrite", RemoteMode::readwrite},
                                                                {"read-write", RemoteMode::readwrite},
                                                                {"rw", RemoteMode::readwrite},
                                                                {"on", RemoteMode::readwrite}};
  for (const auto& [name, mode] : kNames) {
    if (text == name) return mode;
  }
  return Error{Code::invalid_argument,
               fmt::format("\"{}\": write off (no-cache), read (read-only), write (write-only) or readwrite", text)};
}

Result<std::vector<RemoteOptions>> resolve_remotes(const Config& config, const Environment& environment) {
  std::vector<RemoteOptions> resolved;
  for (const auto& remote : config.remotes) {
    auto options = remote.options;
    options.mode = mode_of(remote, config);
    if (options.ca_file.empty()) options.ca_file = config.remote_defaults.ca_file;
    if (options.ca_file.empty()) options.ca_file = variable(environment, "NODE_EXTRA_CA_CERTS");
    options.verify_tls = options.verify_tls && config.remote_defaults.verify_tls &&
                         variable(environment, "NODE_TLS_REJECT_UNAUTHORIZED") != "0";
    options.allow_insecure_token = options.allow_insecure_token || config.remote_defaults.allow_insecure_token;
    auto token = token_of(remote, config, environment);
    if (!token) return in_context("remote " + options.name, std::move(token).error());
    options.token = std::move(*token);
    resolved.push_back(std::move(options));
  }
  return resolved;
}

std::vector<std::string> secret_variables(const Config& config, const Environment& environment) {
  std::vector<std::string> names{kNxToken};
  for (const auto& remote : config.remotes) {
    if (!remote.token_env.empty()) names.push_back(remote.token_env);
  }
  for (const auto& [name, value] : environment) {
    if (name == "HITFS_TOKEN" || name.starts_with("HITFS_TOKEN_")) names.push_back(name);
  }
  return names;
}

}  // namespace hitfs
