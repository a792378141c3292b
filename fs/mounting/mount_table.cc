#include "fs/mounting/mount_table.h"

#include <algorithm>
#include <sstream>

#include "store/base/io.h"

namespace hitfs::fs {

namespace {

// Space, tab, newline and backslash stand as three octal digits.
std::string unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    auto octal = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace

std::optional<MountedAt> find_mount_in(const std::string& mountinfo, const std::string& path) {
  std::optional<MountedAt> found;
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    // id parent major:minor root mount-point options [optional fields] - type source options
    std::istringstream fields(line);
    std::string id, parent, device, root, point, field;
    fields >> id >> parent >> device >> root >> point;
    if (unescape(point) != path) continue;
    while (fields >> field && field != "-") {
    }
    MountedAt mounted{"", device, ""};
    std::string source;
    fields >> mounted.type >> source;
    mounted.source = unescape(source);
    found = std::move(mounted);  // a later line lies on top
  }
  return found;
}

Result<std::optional<MountedAt>> find_mount(const std::filesystem::path& path) {
  constexpr size_t kMost = 64 << 20;
  auto text = io::read_file("/proc/self/mountinfo", kMost);
  if (!text) return in_context("read the mount table", std::move(text).error());
  return find_mount_in(*text, path.string());
}

}  // namespace hitfs::fs
