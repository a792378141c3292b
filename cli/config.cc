#include "cli/config.h"

#include <fmt/core.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "cli/settings.h"
#include "store/base/subprocess.h"

namespace hitfs {

namespace {

constexpr const char* kNxServer = "NX_SELF_HOSTED_REMOTE_CACHE_SERVER";
constexpr const char* kNxMode = "NX_POWERPACK_CACHE_MODE";
constexpr std::string_view kWorkspaceRemote = "a workspace may name a remote, but not how it is treated";

std::string variable(const std::map<std::string, std::string>& environment, const std::string& name) {
  auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

// The layers of settings, and what wins.
class Loader {
 public:
  explicit Loader(const ConfigSources& sources) : sources_(sources) {}

  Result<Config> load();

 private:
  struct Chosen {
    RawSetting setting;
    Source source = Source::standard;
  };
  Status read_files();
  Status read_file(const std::filesystem::path& path, Source source);
  Status read_workspace();
  Status read_environment();
  Status take(const RawSetting& setting, Source source);
  Status take_remotes(std::vector<RemoteConfig> remotes, Source source, const std::string& origin);
  Status take_nx_mode();
  Status take_nx_variables();
  Status take_workspace_setting(const RawSetting& setting);
  void refuse(const RawSetting& setting, std::string_view why);
  Status read_flags();
  void choose_remotes();
  void drop_workspace_remotes();
  void name_remotes();
  [[nodiscard]] Source source_of(std::string_view key) const;
  [[nodiscard]] bool mode_is_for_nx() const;
  void choose_store();
  void report();
  [[nodiscard]] bool is_our_endpoint(const std::string& url) const;
  void warn(std::string text) { config_.warnings.push_back(std::move(text)); }

  const ConfigSources& sources_;
  std::filesystem::path user_file_;
  Config config_;
  std::map<std::string, Chosen, std::less<>> chosen_;
  std::map<Source, std::vector<RemoteConfig>> remotes_;
};

Status Loader::take(const RawSetting& setting, Source source) {
  const auto* spec = find_setting(setting.key);
  if (spec == nullptr) {
    std::vector<std::string> known{"remote"};
    for (const auto& one : settings()) known.emplace_back(one.name);
    return unknown_setting(setting, known);
  }
  // Checked also when another source wins: a mistake is found where it is made.
  Config checked;
  if (auto applied = spec->apply(checked, setting); !applied) return applied;
  if (spec->name == "remote") {
    std::vector<RemoteConfig> remotes;
    for (const auto& url : setting.values) {
      auto remote = remote_of_url(url, source, setting.origin);
      if (!remote) return std::move(remote).error();
      remotes.push_back(std::move(*remote));
    }
    return take_remotes(std::move(remotes), source, setting.origin);
  }
  auto& place = chosen_[setting.key];
  if (source >= place.source) place = {setting, source};
  return Ok{};
}

Status Loader::take_remotes(std::vector<RemoteConfig> remotes, Source source, const std::string& origin) {
  auto& all = remotes_[source];
  for (auto& remote : remotes) all.push_back(std::move(remote));
  auto& place = chosen_["remote"];
  if (source < place.source) return Ok{};
  place = {{"remote", {}, origin, {}}, source};
  for (const auto& remote : all) place.setting.values.push_back(remote.options.url);
  return Ok{};
}

Status Loader::read_file(const std::filesystem::path& path, Source source) {
  auto file = read_toml_file(path);
  if (!file && file.error().code == Code::not_found) return Ok{};
  if (!file) return std::move(file).error();
  for (const auto& setting : file->settings) {
    if (auto taken = take(setting, source); !taken) return taken;
  }
  std::vector<RemoteConfig> remotes;
  for (const auto& table : file->remotes) {
    auto remote = read_remote(table, source);
    if (!remote) return std::move(remote).error();
    remotes.push_back(std::move(*remote));
  }
  if (remotes.empty()) return Ok{};
  auto origin = remotes.front().origin;
  return take_remotes(std::move(remotes), source, origin);
}

Status Loader::read_files() {
  if (sources_.only_file) {
    if (!std::filesystem::exists(*sources_.only_file)) {
      return Error{Code::invalid_argument, "--config " + sources_.only_file->string() + ": no such file"};
    }
    return read_file(*sources_.only_file, Source::user_file);
  }
  if (auto read = read_file(sources_.system_file, Source::system_file); !read) return read;
  return read_file(user_file_, Source::user_file);
}

// A pull request may bring this file: it is treated as written by an attacker.
Status Loader::read_workspace() {
  std::error_code ignored;
  auto folder = sources_.working_directory;
  while (!std::filesystem::exists(folder / ".hitfs.toml", ignored)) {
    if (folder.empty() || folder == folder.parent_path()) return Ok{};
    folder = folder.parent_path();
  }
  auto file = read_toml_file(folder / ".hitfs.toml");
  if (!file) return std::move(file).error();
  for (const auto& setting : file->settings) {
    if (auto taken = take_workspace_setting(setting); !taken) return taken;
  }
  std::vector<RemoteConfig> remotes;
  for (auto& table : file->remotes) {
    std::erase_if(table, [&](const RawSetting& setting) {
      bool harmless = setting.key == "url" || setting.key == "name";
      if (!harmless) refuse(setting, kWorkspaceRemote);
      return !harmless;
    });
    auto remote = read_remote(table, Source::workspace);
    if (!remote) return std::move(remote).error();
    remotes.push_back(std::move(*remote));
  }
  return remotes.empty() ? Status(Ok{}) : take_remotes(remotes, Source::workspace, remotes.front().origin);
}

void Loader::refuse(const RawSetting& setting, std::string_view why) {
  warn(fmt::format("{}: {} is ignored in a workspace file, because {}; set it in your own configuration, {}",
                   setting.origin, setting.key, why, user_file_.string()));
}

Status Loader::take_workspace_setting(const RawSetting& setting) {
  const auto* spec = find_setting(setting.key);
  if (setting.key == "scope") refuse(setting, "it decides who reads what this build writes");
  if (setting.key == "token") refuse(setting, "it is a secret");
  if (setting.key == "scope" || setting.key == "token") return Ok{};
  if (spec != nullptr && !spec->not_in_workspace.empty()) {
    refuse(setting, spec->not_in_workspace);
    return Ok{};
  }
  if (setting.key != "mode" && setting.key != "mode-ci") return take(setting, Source::workspace);
  // It can take rights away, not give any.
  auto mode = parse_mode(setting.values.empty() ? "" : setting.values.front());
  if (!mode) return in_context(setting.origin + ": " + setting.key, std::move(mode).error());
  auto& place = setting.key == "mode" ? config_.workspace_mode : config_.workspace_mode_ci;
  place = *mode;
  return Ok{};
}

Status Loader::read_environment() {
  for (const auto& spec : settings()) {
    auto name = variable_of(spec.name);
    auto value = variable(sources_.environment, name);
    if (value.empty()) continue;
    RawSetting setting{std::string(spec.name), {}, "environment " + name, sources_.working_directory};
    if (!spec.list) setting.values.push_back(value);
    for (size_t at = 0; spec.list && at < value.size();) {
      auto end = std::min(value.find_first_of(", \n", at), value.size());
      if (end > at) setting.values.push_back(value.substr(at, end - at));
      at = end + 1;
    }
    if (auto taken = take(setting, Source::environment); !taken) return taken;
  }
  if (auto taken = take_nx_mode(); !taken) return taken;
  return take_nx_variables();
}

// nx documents it for its cache packages: it beats localMode and ciMode, as our own variables beat files.
Status Loader::take_nx_mode() {
  auto word = variable(sources_.environment, kNxMode);
  if (word.empty()) return Ok{};
  auto origin = std::string("environment ") + kNxMode;
  if (!parse_mode(word)) {
    return Error{Code::invalid_argument, origin + ": write read-only, read-write or no-cache"};
  }
  for (const char* key : {"mode", "mode-ci"}) {
    if (source_of(key) >= Source::environment) return Ok{};
  }
  return take({"mode", {word}, origin, sources_.working_directory}, Source::environment);
}

bool Loader::is_our_endpoint(const std::string& url) const {
  // Inside `hitfs run` the variable names the endpoint itself: a remote of that kind would be a circle.
  auto ours = variable(sources_.environment, "HITFS_ENDPOINT");
  return !ours.empty() && (url == ours || url.starts_with(ours + "/"));
}

Status Loader::take_nx_variables() {
  auto url = variable(sources_.environment, kNxServer);
  if (url.empty() || is_our_endpoint(url) || remotes_.contains(Source::environment)) return Ok{};
  while (url.ends_with('/')) url.pop_back();
  auto origin = std::string("environment ") + kNxServer;
  auto remote = remote_of_url("nx+" + url, Source::environment, origin);
  if (!remote) return std::move(remote).error();
  remote->nx_variables = true;
  return take_remotes({std::move(*remote)}, Source::environment, origin);
}

// The settings of a configured [[remote]] also hold when a flag or variable names it by its URL.
void Loader::choose_remotes() {
  auto place = chosen_.find("remote");
  if (place == chosen_.end()) return;
  config_.remotes = remotes_[place->second.source];
  for (auto& remote : config_.remotes) {
    if (remote.source < Source::environment) continue;
    for (auto file : {Source::user_file, Source::system_file}) {
      auto same = std::find_if(remotes_[file].begin(), remotes_[file].end(),
                               [&](const auto& one) { return one.options.url == remote.options.url; });
      if (same == remotes_[file].end()) continue;
      remote = *same;
      break;
    }
  }
  drop_workspace_remotes();
}

void Loader::drop_workspace_remotes() {
  bool token = !variable(sources_.environment, "HITFS_TOKEN").empty() || !config_.token_file.empty() ||
               !config_.token_command.empty();
  std::erase_if(config_.remotes, [&](const RemoteConfig& remote) {
    if (remote.source != Source::workspace) return false;
    RawSetting setting{"remote " + remote.options.url, {}, remote.origin, {}};
    bool folder = remote.options.url.starts_with("file:");
    if (folder) refuse(setting, "hitfs would write to a folder of this machine that it names");
    if (token && !folder) refuse(setting, "it would receive your token");
    return token || folder;
  });
}

void Loader::name_remotes() {
  std::map<std::string, int> seen;
  for (auto& remote : config_.remotes) {
    auto times = ++seen[remote.options.name];
    if (times > 1) remote.options.name += "#" + std::to_string(times);
  }
}

void Loader::choose_store() {
  if (!config_.store.root.empty()) return;
  auto cache = variable(sources_.environment, "XDG_CACHE_HOME");
  config_.store.root = std::filesystem::path(cache.empty() ? sources_.home + "/.cache" : cache) / "hitfs";
}

void Loader::report() {
  for (const auto& spec : settings()) {
    auto found = chosen_.find(spec.name);
    Config::Effective one{std::string(spec.name), std::string(spec.standard), "default"};
    if (found != chosen_.end()) {
      one.origin = found->second.setting.origin;
      one.value.clear();
      for (const auto& value : found->second.setting.values) one.value += (one.value.empty() ? "" : " ") + value;
    } else if (spec.name == "store") {
      one.value = config_.store.root.string();
    }
    config_.effective.push_back(std::move(one));
  }
}

Result<Config> Loader::load() {
  auto folder = variable(sources_.environment, "XDG_CONFIG_HOME");
  user_file_ = std::filesystem::path(folder.empty() ? sources_.home + "/.config" : folder) / "hitfs/config.toml";
  auto ci = variable(sources_.environment, "CI");
  config_.ci = !ci.empty() && ci != "false" && ci != "0";
  for (auto read : {&Loader::read_workspace, &Loader::read_files, &Loader::read_environment, &Loader::read_flags}) {
    if (auto done = (this->*read)(); !done) return std::move(done).error();
  }
  for (const auto& [key, chosen] : chosen_) {
    if (auto applied = find_setting(key)->apply(config_, chosen.setting); !applied) return std::move(applied).error();
  }
  // `--flush 60s` means what it says, on every machine.
  if (source_of("flush") > source_of("flush-ci")) config_.flush_ci = config_.flush;
  choose_remotes();
  name_remotes();
  choose_store();
  config_.mode_beats_mode_ci = source_of("mode") > source_of("mode-ci");
  config_.mode_of_this_call = std::max(source_of("mode"), source_of("mode-ci")) >= Source::environment;
  if (config_.remotes.empty() && config_.mode_of_this_call && !mode_is_for_nx()) {
    warn("a mode is given, but no remote: everything stays on this machine (name one with --remote URL)");
  }
  report();
  return std::move(config_);
}

Status Loader::read_flags() {
  for (const auto& setting : sources_.flags) {
    if (auto taken = take(setting, Source::flag); !taken) return taken;
  }
  return Ok{};
}

Source Loader::source_of(std::string_view key) const {
  auto found = chosen_.find(key);
  return found == chosen_.end() ? Source::standard : found->second.source;
}

// It may be meant for caches of nx's own, so it is no sign that a remote was forgotten.
bool Loader::mode_is_for_nx() const {
  auto mode = chosen_.find("mode");
  return mode != chosen_.end() && mode->second.setting.origin == std::string("environment ") + kNxMode;
}

std::string home_folder() {
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return home;
  const passwd* user = ::getpwuid(::geteuid());
  return user != nullptr ? user->pw_dir : "/";
}

}  // namespace

ConfigSources ConfigSources::of_process() {
  ConfigSources sources;
  for (const auto& text : environment_without({})) {
    auto equals = text.find('=');
    if (equals != std::string::npos) sources.environment[text.substr(0, equals)] = text.substr(equals + 1);
  }
  std::error_code ignored;
  sources.working_directory = std::filesystem::current_path(ignored);
  sources.home = home_folder();
  if (auto file = variable(sources.environment, "HITFS_CONFIG"); !file.empty()) sources.only_file = file;
  return sources;
}

Result<Config> load_config(const ConfigSources& sources) { return Loader(sources).load(); }

}  // namespace hitfs
