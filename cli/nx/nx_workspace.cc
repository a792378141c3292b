#include "cli/nx/nx_workspace.h"

#include <charconv>

#include "cli/nx/nx_preset.h"
#include "cli/nx/upward.h"
#include "store/base/io.h"
#include "store/base/json.h"

namespace hitfs {

namespace {

constexpr size_t kLargestFile = 4 << 20;
constexpr const char* kCachePackages[] = {
    "@nx/s3-cache",  "@nx/powerpack-s3-cache",  "@nx/shared-fs-cache", "@nx/powerpack-shared-fs-cache",
    "@nx/gcs-cache", "@nx/powerpack-gcs-cache", "@nx/azure-cache",     "@nx/powerpack-azure-cache"};

// The text of the preset that nx.json extends; "" when there is none, or none that can be read.
std::string preset_text(const NxWorkspace& workspace, const std::string& text) {
  auto name = preset_name(text);
  auto file = name.empty() ? std::nullopt : find_nx_preset(workspace.root, name);
  if (!file) return "";
  auto preset = io::read_file(*file, kLargestFile);
  return preset ? *std::move(preset) : "";
}

}  // namespace

std::optional<NxWorkspace> find_nx_workspace(const std::filesystem::path& folder) {
  NxWorkspace found;
  auto has_file = [&](const std::filesystem::path& one) {
    found.root = one;
    return is_plain_file(found.file());
  };
  return upward(folder, has_file) ? std::optional(found) : std::nullopt;
}

Result<NxJson> read_nx_json(const NxWorkspace& workspace) {
  auto text = io::read_file(workspace.file(), kLargestFile);
  if (!text) return std::move(text).error();
  auto json = parse_nx_json(*text, preset_text(workspace, *text));
  if (!json) return in_context(workspace.file().string(), std::move(json).error());
  return json;
}

std::set<std::string> installed_cache_packages(const std::filesystem::path& folder) {
  std::set<std::string> installed;
  for (const char* package : kCachePackages) {
    auto is_here = [&](const std::filesystem::path& one) {
      return is_plain_file(one / "node_modules" / package / "package.json");
    };
    if (upward(folder, is_here)) installed.insert(package);
  }
  return installed;
}

std::string nx_version(const std::filesystem::path& folder) {
  std::string version;
  upward(folder, [&](const std::filesystem::path& one) {
    auto file = one / "node_modules/nx/package.json";
    if (!is_plain_file(file)) return false;
    auto text = io::read_file(file, kLargestFile);
    auto json = text ? Json::parse(*text) : Result<Json>(std::move(text).error());
    version = json ? std::as_const(*json)["version"].text_or("") : "";
    return true;
  });
  return version;
}

int nx_major_version(const std::filesystem::path& folder) {
  int major = 0;
  auto version = nx_version(folder);
  std::from_chars(version.data(), version.data() + version.size(), major);
  return major;
}

bool has_nx_key_file(const NxWorkspace& workspace) {
  return is_plain_file(workspace.root / ".nx/key/key.ini") ||
         is_plain_file(workspace.root / ".nx/powerpack/license.ini");
}

}  // namespace hitfs
