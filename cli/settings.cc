#include "cli/settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <utility>

#include "cli/units.h"
#include "store/base/url.h"

namespace hitfs {

namespace {

const std::string& text_of(const RawSetting& setting) {
  static const std::string kNone;
  return setting.values.empty() ? kNone : setting.values.front();
}

// Puts the value of a parser into a member, or the place and key before its complaint.
template <typename T, typename Member>
Status put(const RawSetting& setting, Result<T> parsed, Member& into) {
  if (setting.values.size() != 1) {
    return Error{Code::invalid_argument, fmt::format("{}: {}: one value is expected", setting.origin, setting.key)};
  }
  if (!parsed) return in_context(setting.origin + ": " + setting.key, std::move(parsed).error());
  into = static_cast<Member>(std::move(*parsed));
  return Ok{};
}

template <auto member>
Status put_size(Config& config, const RawSetting& setting) {
  return put(setting, parse_size(text_of(setting)), config.*member);
}
template <auto member>
Status put_duration(Config& config, const RawSetting& setting) {
  return put(setting, parse_duration(text_of(setting)), config.*member);
}
template <auto member>
Status put_text(Config& config, const RawSetting& setting) {
  return put(setting, Result<std::string>(text_of(setting)), config.*member);
}
template <auto member>
Status put_path(Config& config, const RawSetting& setting) {
  return put(setting, Result<std::string>(path_of(setting).string()), config.*member);
}
template <auto member>
Status put_mode(Config& config, const RawSetting& setting) {
  RemoteMode mode{};
  if (auto read = put(setting, parse_mode(text_of(setting)), mode); !read) return read;
  config.*member = mode;
  return Ok{};
}
template <auto member>
Status put_patience(Config& config, const RawSetting& setting) {
  return put(setting, parse_duration(text_of(setting)), config.patience.*member);
}

Status put_store(Config& config, const RawSetting& setting) {
  if (text_of(setting).empty()) return Error{Code::invalid_argument, setting.origin + ": store: name a folder"};
  return put(setting, Result<std::filesystem::path>(path_of(setting)), config.store.root);
}

// Remotes are put together in load_config(): which list wins is decided for all at once.
Status put_nothing(Config&, const RawSetting&) { return Ok{}; }

Status put_log_level(Config& config, const RawSetting& setting) {
  auto level = log::parse_level(text_of(setting));
  if (level) return put(setting, Result<log::Level>(*level), config.log_level);
  return Error{Code::invalid_argument, fmt::format("{}: log-level \"{}\": write debug, info, warn, error or off",
                                                   setting.origin, text_of(setting))};
}

Status put_layout(Config& config, const RawSetting& setting) {
  return put(setting, Result<std::string>(text_of(setting)), config.layout.name);
}
Status put_pattern(Config& config, const RawSetting& setting) {
  return put(setting, Result<std::string>(text_of(setting)), config.layout.pattern);
}
Status put_complete(Config& config, const RawSetting& setting) {
  return put(setting, Result<std::string>(text_of(setting)), config.layout.complete);
}
Status put_max_bytes(Config& config, const RawSetting& setting) {
  return put(setting, parse_size(text_of(setting)), config.limits.max_bytes);
}
Status put_max_files(Config& config, const RawSetting& setting) {
  return put(setting, parse_number(text_of(setting), 0, int64_t{1} << 40), config.limits.max_files);
}
Status put_generation(Config& config, const RawSetting& setting) {
  return put(setting, parse_number(text_of(setting), 0, std::numeric_limits<int64_t>::max()), config.generation);
}
Status put_port(Config& config, const RawSetting& setting) {
  return put(setting, parse_number(text_of(setting), 0, 65535), config.port);
}
Status put_run_list(Config& config, const RawSetting& setting) {
  constexpr std::pair<std::string_view, RunListMode> kModes[] = {
      {"off", RunListMode::off}, {"clean", RunListMode::clean}, {"always", RunListMode::always}};
  for (const auto& [name, mode] : kModes) {
    if (text_of(setting) == name) return put(setting, Result<RunListMode>(mode), config.run_list);
  }
  return Error{Code::invalid_argument,
               fmt::format("{}: run-list \"{}\": write clean, always or off", setting.origin, text_of(setting))};
}
Status put_ca_file(Config& config, const RawSetting& setting) {
  return put(setting, Result<std::string>(path_of(setting).string()), config.remote_defaults.ca_file);
}
Status put_verify_tls(Config& config, const RawSetting& setting) {
  return put(setting, parse_switch(text_of(setting)), config.remote_defaults.verify_tls);
}
Status put_insecure(Config& config, const RawSetting& setting) {
  return put(setting, parse_switch(text_of(setting)), config.remote_defaults.allow_insecure_token);
}

constexpr std::string_view kMachine = "it changes the store that all workspaces of this machine share";
constexpr std::string_view kSecret = "it decides who receives your token";
constexpr std::string_view kRuns = "it names a command that runs as you";
constexpr std::string_view kWaits = "it decides how long you wait";

constexpr auto kSettings = std::to_array<SettingSpec>({
    {"store", "folder of the store", "~/.cache/hitfs", kMachine, put_store},
    {"remote", "cache server or shared folder; repeatable", "", "", put_nothing, true},
    {"mode", "off, read, write or readwrite, for every remote", "readwrite", "", put_mode<&Config::mode>},
    {"mode-ci", "the same where $CI is set", "as mode", "", put_mode<&Config::mode_ci>},
    {"layout", "rules of the mounted folder: flat or nx", "flat", "", put_layout},
    {"pattern", "regular expression: which names are entries", "of the layout", "", put_pattern},
    {"complete", "when an entry is complete: rename, close or marker:NAME", "rename", "", put_complete},
    {"token-file", "file with the token of remotes that name none", "", kSecret, put_path<&Config::token_file>},
    {"token-command", "command that prints the token", "", kRuns, put_text<&Config::token_command>},
    {"ca-file", "further root certificates (PEM)", "", kSecret, put_ca_file},
    {"verify-tls", "check the certificates of remotes", "true", kSecret, put_verify_tls},
    {"allow-insecure-token", "send a token over clear text to another machine", "false", kSecret, put_insecure},
    {"max-size", "limit of the store, 0 for none", "20GiB", kMachine, put_max_bytes},
    {"max-files", "limit of files in the store, 0 for none", "0", kMachine, put_max_files},
    {"generation", "raise it to forget everything pushed before", "0", kMachine, put_generation},
    {"max-artifact-size", "largest artifact that is accepted", "8GiB", kMachine, put_size<&Config::max_artifact_bytes>},
    {"max-unpacked-size", "largest tree that an artifact may unpack to", "16GiB", kMachine,
     put_size<&Config::max_unpacked_bytes>},
    {"connect-timeout", "for a connection to a remote", "2s", kWaits, put_patience<&Patience::connect>},
    {"first-byte-timeout", "for the first byte of an answer", "10s", kWaits, put_patience<&Patience::first_byte>},
    {"stall-timeout", "for the next byte of a transfer", "10s", kWaits, put_patience<&Patience::stall>},
    {"session-budget", "what one build may wait in sum", "10s", kWaits, put_patience<&Patience::session_budget>},
    {"lookup-patience", "what one lookup in a mount waits for a remote", "2s", kWaits,
     put_duration<&Config::lookup_patience>},
    {"idle", "how long hitfs stays after the last user", "1m", kWaits, put_duration<&Config::idle>},
    {"flush", "how long the end of a run waits for uploads", "10s", kWaits, put_duration<&Config::flush>},
    {"flush-ci", "the same where $CI is set", "1m", kWaits, put_duration<&Config::flush_ci>},
    {"port", "of the endpoint on 127.0.0.1; 0 for any", "0", kMachine, put_port},
    {"run-list", "publish what a build hit and stored: clean (of a clean work tree), always or off", "clean", "",
     put_run_list},
    {"prewarm-base", "a revision: run pulls what the nearest run list before it names", "", "",
     put_text<&Config::prewarm_base>},
    {"prewarm-max-bytes", "most that a prewarm pulls, 0 for no limit", "4GiB", kMachine,
     put_size<&Config::prewarm_max_bytes>},
    {"prewarm-max-time", "the longest that a prewarm takes", "5m", kWaits, put_duration<&Config::prewarm_max_time>},
    {"on-push-failed", "command for an upload that failed", "", kRuns, put_text<&Config::on_push_failed>},
    {"log-level", "debug, info, warn, error or off", "info", kMachine, put_log_level},
});

struct RemoteKey {
  std::string_view name;
  Status (*apply)(RemoteConfig& remote, const RawSetting& setting);
};

Status put_remote_mode(RemoteConfig& remote, const RawSetting& setting) {
  RemoteMode mode{};
  auto read = put(setting, parse_mode(text_of(setting)), mode);
  if (read) (setting.key == "mode" ? remote.mode : remote.mode_ci) = mode;
  return read;
}
template <auto member>
Status put_remote_switch(RemoteConfig& remote, const RawSetting& setting) {
  return put(setting, parse_switch(text_of(setting)), remote.options.*member);
}
template <auto member>
Status put_remote_count(RemoteConfig& remote, const RawSetting& setting) {
  return put(setting, parse_number(text_of(setting), 1, 256), remote.options.*member);
}
template <auto member>
Status put_remote_text(RemoteConfig& remote, const RawSetting& setting) {
  return put(setting, Result<std::string>(text_of(setting)), remote.*member);
}

constexpr auto kRemoteKeys = std::to_array<RemoteKey>({
    {"url", [](RemoteConfig&, const RawSetting&) -> Status { return Ok{}; }},
    {"name",
     [](RemoteConfig& r, const RawSetting& s) { return put(s, Result<std::string>(text_of(s)), r.options.name); }},
    {"mode", put_remote_mode},
    {"mode-ci", put_remote_mode},
    {"token-env", put_remote_text<&RemoteConfig::token_env>},
    {"token-file", [](RemoteConfig& r,
                      const RawSetting& s) { return put(s, Result<std::string>(path_of(s).string()), r.token_file); }},
    {"token-command", put_remote_text<&RemoteConfig::token_command>},
    {"ca-file",
     [](RemoteConfig& r, const RawSetting& s) {
       return put(s, Result<std::string>(path_of(s).string()), r.options.ca_file);
     }},
    {"verify-tls", put_remote_switch<&RemoteOptions::verify_tls>},
    {"allow-insecure-token", put_remote_switch<&RemoteOptions::allow_insecure_token>},
    {"parallel-fetches", put_remote_count<&RemoteOptions::parallel_fetches>},
    {"parallel-pushes", put_remote_count<&RemoteOptions::parallel_pushes>},
});

Error token_in_file(const RawSetting& setting) {
  return Error{Code::invalid_argument, setting.origin +
                                           ": token: a token does not belong into a configuration file; "
                                           "use token-file, token-command or HITFS_TOKEN"};
}

// "host:port" of a URL, its path for file:///path: how a remote is called unless it has a name.
std::string standard_name(const std::string& url) {
  auto begin = url.find("://") + 3;
  if (url.starts_with("file://")) return url.substr(begin);
  return url.substr(begin, url.find('/', begin) - begin);
}

Status check_url(const std::string& url, const std::string& origin) {
  auto complain = [&](std::string_view why) -> Status {
    return Error{Code::invalid_argument, fmt::format("{}: remote \"{}\": {}", origin, redact_url(url), why)};
  };
  if (url.find('@') != std::string::npos) {
    // The text may hold a password: it is not repeated.
    return Error{Code::invalid_argument, origin +
                                             ": remote: credentials do not belong into a URL; use HITFS_TOKEN, "
                                             "token-file or token-command"};
  }
  if (url.starts_with("http://") || url.starts_with("https://")) {
    return complain("say which protocol it speaks: nx+" + redact_url(url));
  }
  if (url.starts_with("file:///")) return Ok{};
  if (url.starts_with("file:")) return complain("write file:///absolute/path");
  if (!url.starts_with("nx+https://") && !url.starts_with("nx+http://")) {
    return complain("write nx+https://HOST, nx+http://HOST or file:///PATH");
  }
  if (standard_name(url).empty()) return complain("there is no host in it");
  if (url.find_first_of("?# \t\n") != std::string::npos)
    return complain("a query, fragment or blank does not belong here");
  return Ok{};
}

}  // namespace

std::span<const SettingSpec> settings() { return kSettings; }

const SettingSpec* find_setting(std::string_view name) {
  auto found = std::find_if(kSettings.begin(), kSettings.end(), [&](const auto& spec) { return spec.name == name; });
  return found == kSettings.end() ? nullptr : &*found;
}

std::string variable_of(std::string_view name) {
  std::string variable = "HITFS_";
  for (char c : name) variable += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return variable;
}

Error unknown_setting(const RawSetting& setting, const std::vector<std::string>& known) {
  if (setting.key == "token") return token_in_file(setting);
  auto near = nearest(setting.key, known);
  auto hint = near.empty() ? std::string("`hitfs config` lists all keys") : "did you mean " + near + "?";
  return Error{Code::invalid_argument, fmt::format("{}: unknown key {}: {}", setting.origin, setting.key, hint)};
}

std::filesystem::path path_of(const RawSetting& setting) {
  std::filesystem::path path = text_of(setting);
  if (path.native().starts_with("~/")) {
    const char* home = std::getenv("HOME");
    if (home != nullptr) return std::filesystem::path(home) / path.native().substr(2);
  }
  return path.is_absolute() ? path.lexically_normal() : (setting.base / path).lexically_normal();
}

Result<RemoteConfig> remote_of_url(const std::string& url, Source source, const std::string& origin) {
  if (auto checked = check_url(url, origin); !checked) return std::move(checked).error();
  RemoteConfig remote;
  remote.options.url = url;
  remote.options.name = standard_name(url);
  remote.source = source;
  remote.origin = origin;
  return remote;
}

Result<RemoteConfig> read_remote(const std::vector<RawSetting>& table, Source source) {
  auto url = std::find_if(table.begin(), table.end(), [](const auto& setting) { return setting.key == "url"; });
  if (url == table.end()) {
    auto place = table.empty() ? std::string("[[remote]]") : table.front().origin;
    return Error{Code::invalid_argument, place + ": remote: url is missing"};
  }
  auto remote = remote_of_url(text_of(*url), source, url->origin);
  if (!remote) return remote;
  std::vector<std::string> known;
  for (const auto& key : kRemoteKeys) known.emplace_back(key.name);
  for (const auto& setting : table) {
    auto key =
        std::find_if(kRemoteKeys.begin(), kRemoteKeys.end(), [&](const auto& k) { return k.name == setting.key; });
    if (key == kRemoteKeys.end()) return unknown_setting(setting, known);
    if (auto applied = key->apply(*remote, setting); !applied) return std::move(applied).error();
  }
  return remote;
}

}  // namespace hitfs
