#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/config.h"

// The keys of the configuration, once for files, environment (HITFS_<KEY>) and flags (--key).
namespace hitfs {

struct SettingSpec {
  std::string_view name;
  std::string_view help;
  std::string_view standard;          // the value when nobody says anything, for people
  std::string_view not_in_workspace;  // why a workspace file may not set it; "" when it may
  Status (*apply)(Config& config, const RawSetting& setting);
  bool list = false;
};

[[nodiscard]] std::span<const SettingSpec> settings();
[[nodiscard]] const SettingSpec* find_setting(std::string_view name);
// "HITFS_MAX_SIZE" for max-size.
[[nodiscard]] std::string variable_of(std::string_view name);
// The Error of a key that nobody knows, with the nearest one.
[[nodiscard]] Error unknown_setting(const RawSetting& setting, const std::vector<std::string>& known);

// One [[remote]] table.
Result<RemoteConfig> read_remote(const std::vector<RawSetting>& table, Source source);
// A remote given by its URL alone.
Result<RemoteConfig> remote_of_url(const std::string& url, Source source, const std::string& origin);

// A path as written: "~/x" in the home folder, relative ones below setting.base.
[[nodiscard]] std::filesystem::path path_of(const RawSetting& setting);

}  // namespace hitfs
