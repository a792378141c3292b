#include "cli/supervisor/mount_driver.h"

#include <algorithm>
#include <string_view>

#include "store/base/io.h"
#include "store/digest.h"
#include "store/key.h"

namespace hitfs {

Json MountRequest::json() const {
  Json json;
  json["mount_point"] = percent_encode(mount_point.native());
  json["name"] = name;
  json["layout"] = layout.name;
  json["pattern"] = layout.pattern;
  json["complete"] = layout.complete;
  json["space"] = layout.space;
  json["allow_other"] = allow_other;
  json["force"] = force;
  json["alone"] = alone;
  json["lookup_patience_ms"] = lookup_patience.count();
  return json;
}

Result<MountRequest> MountRequest::from(const Json& json) {
  auto path = percent_decode(json["mount_point"].text_or(""));
  if (!path || path->empty() || path->front() != '/') {
    return Error{Code::invalid_argument, "mount: mount_point must be an absolute path"};
  }
  MountRequest request;
  request.mount_point = *path;
  request.name = json["name"].text_or("");
  request.layout = {json["layout"].text_or("flat"), json["pattern"].text_or(""), json["complete"].text_or(""),
                    json["space"].text_or("")};
  request.allow_other = json["allow_other"].bool_or(false);
  request.force = json["force"].bool_or(false);
  request.alone = json["alone"].bool_or(false);
  request.lookup_patience = Milliseconds(json["lookup_patience_ms"].integer_or(2000));
  if (request.name.empty()) request.name = default_mount_name(request.mount_point);
  return request;
}

MountRequest MountRequest::beside(int number) const {
  auto suffix = "-" + std::to_string(number);
  bool named = name != default_mount_name(mount_point);
  auto other = *this;
  other.mount_point += suffix;
  other.name = named ? name + suffix : default_mount_name(other.mount_point);
  return other;
}

std::string default_mount_name(const std::filesystem::path& mount_point) {
  constexpr size_t kLongestName = 200;
  auto name = percent_encode(mount_point.native());
  if (name.size() <= kLongestName) return name;
  return "mount-" + Digest::of(io::as_bytes(mount_point.native())).hex();
}

Status check_mount_name(const std::string& name) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  // "cli-..." and "listener" are staging folders of other processes.
  bool taken = name.starts_with("cli-") || name.starts_with("listener");
  if (name.empty() || name.size() > 64 || name.front() == '.' || taken ||
      !std::all_of(name.begin(), name.end(), allowed)) {
    return Error{Code::invalid_argument, "mount name \"" + name +
                                             "\": use 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with '.', "
                                             "\"cli-\" or \"listener\""};
  }
  return Ok{};
}

}  // namespace hitfs
