#include "cli/nx/nx_json.h"

#include <algorithm>
#include <array>

#include "cli/config.h"
#include "cli/nx/relaxed_json.h"
#include "store/base/json.h"
#include "store/base/url.h"

namespace hitfs {

namespace {

constexpr size_t kLongestName = 200;

// The settings of one package, as documented.
struct PackageKeys {
  const char* key;
  std::array<const char*, 3> place;    // shown; "endpoint" is a URL
  std::array<const char*, 3> secrets;  // never read
};
constexpr PackageKeys kPackages[] = {
    {"s3", {"bucket", "region", "endpoint"}, {"accessKeyId", "secretAccessKey", "encryptionKey"}},
    {"sharedFs", {}, {}},
    {"gcs", {"bucket"}, {}},
    {"azure", {"container", "accountName"}, {"accountKey"}},
};
constexpr const char* kCloudRunners[] = {"nx-cloud", "@nrwl/nx-cloud"};
constexpr const char* kDefaultRunners[] = {"nx/tasks-runners/default", "@nx/tasks-runners/default",
                                           "@nrwl/workspace/tasks-runners/default"};

template <size_t Count>
bool is_one_of(std::string_view word, const char* const (&words)[Count]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

// Names of buckets and packages, paths: no line ends, no quotes, no place for a credential.
bool can_be_shown(std::string_view text) {
  auto plain = [](char c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || std::string_view("@/._-~+ ").find(c) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= kLongestName && std::all_of(text.begin(), text.end(), plain);
}

class Reader {
 public:
  NxJson read(const Json& json);

 private:
  void read_package(const Json& settings, const PackageKeys& keys);
  void read_runners(const Json& runners);
  std::string shown(const Json& value, const std::string& path);
  std::string origin(const Json& value, const std::string& path);
  std::optional<NxMode> mode(const Json& value, const std::string& path);
  void remark(const std::string& path, std::string_view what) {
    result_.remarks.push_back(path + " " + std::string(what));
  }

  NxJson result_;
};

std::string Reader::shown(const Json& value, const std::string& path) {
  auto text = value.text_or("");
  if (value.is_null() || can_be_shown(text)) return text;
  remark(path, value.is_text() ? "is not a plain name or path" : "is not a text");
  return "";
}

std::string Reader::origin(const Json& value, const std::string& path) {
  if (value.is_null()) return "";
  auto url = Url::parse(value.text_or(""));
  if (url) return url->scheme + "://" + url->authority();
  remark(path, "is not a URL");
  return "";
}

std::optional<NxMode> Reader::mode(const Json& value, const std::string& path) {
  if (value.is_null()) return std::nullopt;
  auto word = value.text_or("");
  if (auto mode = parse_mode(word)) return NxMode{word, *mode};
  remark(path, "is no mode that nx documents (read-write, read-only, no-cache)");
  return NxMode{"", RemoteMode::read};
}

void Reader::read_package(const Json& settings, const PackageKeys& keys) {
  if (settings.is_null()) return;
  std::string key = keys.key;
  if (!settings.is_object()) return remark(key, "is not an object");
  NxCachePackage package;
  package.key = key;
  for (const char* name : keys.place) {
    if (name == nullptr) continue;
    auto path = key + "." + name;
    bool url = std::string_view(name) == "endpoint";
    auto value = url ? origin(settings[name], path) : shown(settings[name], path);
    if (!value.empty()) package.place += (package.place.empty() ? "" : ", ") + std::string(name) + " " + value;
  }
  for (const char* name : keys.secrets) {
    if (name != nullptr && !settings[name].is_null()) package.secrets.emplace_back(name);
  }
  package.local_mode = mode(settings["localMode"], key + ".localMode");
  package.ci_mode = mode(settings["ciMode"], key + ".ciMode");
  result_.packages.push_back(std::move(package));
}

void Reader::read_runners(const Json& runners) {
  if (!runners.is_null() && !runners.is_object()) return remark("tasksRunnerOptions", "is not an object");
  for (const auto& [name, runner] : runners.members()) {
    auto package = runner["runner"].text_or("");
    if (is_one_of(package, kCloudRunners)) result_.cloud = true;
    if (package.empty() || is_one_of(package, kCloudRunners) || is_one_of(package, kDefaultRunners)) continue;
    result_.runners.push_back(can_be_shown(package) ? package : "a custom runner");
  }
}

NxJson Reader::read(const Json& json) {
  for (const auto& keys : kPackages) read_package(json[keys.key], keys);
  read_runners(json["tasksRunnerOptions"]);
  result_.cache_directory = shown(json["cacheDirectory"], "cacheDirectory");
  if (result_.cache_directory.empty()) {
    result_.cache_directory = shown(json["tasksRunnerOptions"]["default"]["options"]["cacheDirectory"],
                                    "tasksRunnerOptions.default.options.cacheDirectory");
  }
  result_.cloud =
      result_.cloud || !json["nxCloudAccessToken"].text_or("").empty() || !json["nxCloudId"].text_or("").empty();
  result_.never_cloud = json["neverConnectToCloud"].bool_or(false);
  result_.legacy_cache = json["useLegacyCache"].bool_or(false);
  return std::move(result_);
}

}  // namespace

Result<NxJson> parse_nx_json(std::string_view text, std::string_view preset) {
  auto parsed = Json::parse(plain_json(text));
  if (!parsed) return std::move(parsed).error();
  if (!parsed->is_object()) return Error{Code::invalid_argument, "there is no object in it"};
  Json::Object all = parsed->members();
  auto below = Json::parse(plain_json(preset));
  bool known = below && below->is_object();
  if (known) all.insert(below->members().begin(), below->members().end());
  auto json = Reader().read(all);
  json.extends = !known && all.contains("extends");
  return json;
}

std::string preset_name(std::string_view text) {
  auto parsed = Json::parse(plain_json(text));
  return parsed ? std::as_const(*parsed)["extends"].text_or("") : "";
}

}  // namespace hitfs
