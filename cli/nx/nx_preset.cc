#include "cli/nx/nx_preset.h"

#include <algorithm>
#include <utility>

#include "cli/nx/upward.h"
#include "store/base/io.h"
#include "store/base/json.h"

namespace hitfs {

namespace {

namespace fs = std::filesystem;

constexpr size_t kLargestPackageFile = 4 << 20;
constexpr int kDeepestCondition = 4;

bool stays_inside(const fs::path& relative) {
  return !relative.empty() && relative.is_relative() &&
         std::none_of(relative.begin(), relative.end(), [](const fs::path& part) { return part == ".."; });
}

// `folder / relative`, also when ".json" is left off.
std::optional<fs::path> file_in(const fs::path& folder, const fs::path& relative) {
  if (!stays_inside(relative)) return std::nullopt;
  auto exact = folder / relative;
  if (is_plain_file(exact)) return exact;
  exact += ".json";
  return is_plain_file(exact) ? std::optional(exact) : std::nullopt;
}

// What one member of `exports` leads to: a path, or such a thing for each condition.
std::string target_of(const Json& exported, int depth = 0) {
  if (exported.is_text() || depth == kDeepestCondition) return exported.text_or("");
  for (const char* condition : {"node", "require", "default"}) {
    if (auto target = target_of(exported[condition], depth + 1); !target.empty()) return target;
  }
  return "";
}

// The path that `exports` gives for "./presets/npm.json": by its own name, else by the pattern ("./presets/*.json")
// with the longest text before the star.
std::string exported_path(const Json& exports, const std::string& subpath) {
  if (auto target = target_of(exports[subpath]); !target.empty()) return target;
  std::string best, starred;
  for (const auto& [pattern, exported] : exports.members()) {
    auto star = pattern.find('*');
    if (star == std::string::npos || subpath.size() + 1 < pattern.size()) continue;
    auto before = pattern.substr(0, star), after = pattern.substr(star + 1);
    if (!subpath.starts_with(before) || !subpath.ends_with(after) || before.size() < starred.size()) continue;
    auto target = target_of(exported);
    auto place = target.find('*');
    if (place == std::string::npos) continue;
    starred = before;
    best = target.replace(place, 1, subpath.substr(star, subpath.size() + 1 - pattern.size()));
  }
  return best;
}

std::optional<fs::path> file_of_package(const fs::path& package, const std::string& rest) {
  auto text = io::read_file(package / "package.json", kLargestPackageFile);
  auto json = text ? Json::parse(*text) : Result<Json>(std::move(text).error());
  if (!json || std::as_const(*json)["exports"].is_null()) return file_in(package, rest);
  auto path = exported_path(std::as_const(*json)["exports"], "./" + rest);
  return path.starts_with("./") ? file_in(package, path.substr(2)) : std::nullopt;
}

}  // namespace

std::optional<fs::path> find_nx_preset(const fs::path& root, const std::string& name) {
  if (name.starts_with("./")) return file_in(root, name.substr(2));
  auto slash = name.find('/', name.starts_with("@") ? name.find('/') + 1 : 0);
  if (slash == std::string::npos || !stays_inside(name)) return std::nullopt;
  std::optional<fs::path> found;
  upward(root, [&](const fs::path& folder) {
    auto package = folder / "node_modules" / name.substr(0, slash);
    if (!is_plain_file(package / "package.json")) return false;
    found = file_of_package(package, name.substr(slash + 1));
    return true;
  });
  return found;
}

}  // namespace hitfs
