#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "store/base/result.h"

// A configuration file as plain text values with their places; toml++ reads it, in toml_file.cc alone.
namespace hitfs {

// One `key = value` of any source. A list has several values; numbers and switches are given as text.
struct RawSetting {
  std::string key;
  std::vector<std::string> values;
  std::string origin;          // "/home/me/.config/hitfs/config.toml:3", "environment HITFS_STORE", "--store"
  std::filesystem::path base;  // what relative paths are relative to
};

struct TomlFile {
  std::vector<RawSetting> settings;
  std::vector<std::vector<RawSetting>> remotes;  // each [[remote]] table
};

// `not_found` when there is no such file; `invalid_argument` names file, line and what is wrong there.
Result<TomlFile> read_toml_file(const std::filesystem::path& path);

}  // namespace hitfs
