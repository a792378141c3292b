#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/result.h"
#include "sync/options.h"

// What an nx.json says about caches. The names of settings and modes are those that nx documents for its cache packages
// (https://nx.dev/docs/reference/remote-cache-plugins); the packages themselves were not looked at.
namespace hitfs {

// A mode as somebody wrote it: read-write, read-only, read, no-cache, or another word of parse_mode(). A word that is
// none of these is not kept ("") and taken for `read`, which takes rights away.
struct NxMode {
  std::string word;
  RemoteMode mode;
};

// One of the keys "s3", "sharedFs", "gcs" and "azure": the settings of a cache package.
struct NxCachePackage {
  std::string key;
  std::string place;                 // "bucket team, region eu-central-1"; "" when nothing can be shown
  std::vector<std::string> secrets;  // names of settings that hold secrets; their values are not read
  std::optional<NxMode> local_mode, ci_mode;
};

// A value without secrets: of nx.json's texts only those are kept that have the form of a name, a path or an origin.
struct NxJson {
  std::vector<NxCachePackage> packages;  // in the order in which nx asks them
  std::string cache_directory;           // as written
  std::vector<std::string> runners;      // custom task runners: packages or paths
  bool legacy_cache = false;             // useLegacyCache: the cache on files of nx 20
  bool cloud = false;                    // connected to Nx Cloud
  bool never_cloud = false;              // neverConnectToCloud
  bool extends = false;                  // there is a preset below it, which could not be read
  std::vector<std::string> remarks;      // what was not understood, one line each, without the value
};

// `invalid_argument` with the line for what is no JSON at all, or no object; never quotes the text. `preset` is the
// text of the file that it extends: as in nx (20.8 to 24.0) its members stand where nx.json has none, as a whole, and
// what it extends itself is not looked at.
Result<NxJson> parse_nx_json(std::string_view text, std::string_view preset = {});

// What `extends` says; "" for none.
[[nodiscard]] std::string preset_name(std::string_view text);

}  // namespace hitfs
