#include "store/archive/guard.h"

#include <algorithm>

#include "store/key.h"

namespace hitfs {

namespace {

// What Linux takes as a path or link target (PATH_MAX without its NUL) and as a name (NAME_MAX).
constexpr size_t kMaxPath = 4095;
constexpr size_t kMaxName = 255;

Error refuse(std::string_view rule, const ArchiveMember& member) {
  return {Code::corrupt, "archive refused: " + std::string(rule) + ": member " + printable_path(member.path)};
}

// Calls `each(name)` for the parts between slashes, empty ones included; stops at the first `false`.
template <typename Each>
bool for_each_name(std::string_view path, Each each) {
  while (true) {
    auto slash = path.find('/');
    if (!each(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

// "C:", "C:x", "\x", "\\host", "a\..\b": what a Windows reader would take as a way out.
bool leaves_on_windows(std::string_view path) {
  auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (path.size() >= 2 && path[1] == ':' && is_letter(path[0])) return true;
  if (path.starts_with('\\')) return true;
  if (path.find('\\') == std::string_view::npos) return false;
  std::string slashed(path);
  std::replace(slashed.begin(), slashed.end(), '\\', '/');
  return !for_each_name(slashed, [](std::string_view name) { return name != ".."; });
}

}  // namespace

std::string printable_path(std::string_view path) {
  constexpr size_t kMost = 300;
  std::string text;
  for_each_name(path.substr(0, kMost), [&](std::string_view name) {
    text += percent_encode(name) + "/";
    return true;
  });
  text.pop_back();
  return path.size() > kMost ? text + "..." : text;
}

Result<std::string> Guard::admit(const ArchiveMember& member) {
  auto path = canonical_path(member);
  if (!path) return path;
  if (auto checked = check_mode(member); !checked) return std::move(checked).error();
  if (auto checked = check_target(member, *path); !checked) return std::move(checked).error();
  if (auto placed = place(member, *path); !placed) return std::move(placed).error();
  return path;
}

Status Guard::admit_bytes(uint64_t artifact_bytes, uint64_t unpacked_bytes) const {
  auto over = [](std::string_view what, uint64_t limit) {
    return Error{Code::corrupt, "archive refused: " + std::string(what) + " beyond the limit of " +
                                    std::to_string(limit) + "; raise it in the configuration if it is meant"};
  };
  if (artifact_bytes > limits_.artifact_bytes) return over("artifact bytes", limits_.artifact_bytes);
  if (unpacked_bytes > limits_.unpacked_bytes) return over("unpacked bytes", limits_.unpacked_bytes);
  if (unpacked_bytes > limits_.ratio_from && unpacked_bytes / limits_.ratio > artifact_bytes) {
    return over("ratio of unpacked to artifact bytes", limits_.ratio);
  }
  return Ok{};
}

Result<std::string> Guard::canonical_path(const ArchiveMember& member) const {
  std::string_view path = member.path;
  if (path.size() > kMaxPath) return refuse("path longer than 4095 bytes", member);
  if (path.find('\0') != std::string_view::npos) return refuse("NUL byte in a path", member);
  if (path.starts_with('/')) return refuse("absolute path", member);
  if (readers_ == ArchiveReaders::other_programs && leaves_on_windows(path)) {
    return refuse("drive letter or backslash path", member);
  }
  while (path.starts_with("./")) path.remove_prefix(2);
  if (member.type == FileType::directory && path.ends_with('/')) path.remove_suffix(1);
  if (path.empty() || path == ".") return refuse("a member for the entry itself", member);

  uint32_t depth = 0;
  std::string_view broken;
  for_each_name(path, [&](std::string_view name) {
    if (name == "..") broken = "\"..\" in a path";
    if (name.empty() || name == ".") broken = "empty or \".\" name in a path";
    if (name.size() > kMaxName) broken = "name longer than 255 bytes";
    if (++depth > limits_.depth) broken = "deeper than the limit";
    return broken.empty();
  });
  if (!broken.empty()) return refuse(broken, member);
  return std::string(path);
}

// Other programs make a directory or file at once with the mode it has here, and must go on working in it; as root they
// could, as a user they cannot, and the build would fail.
Status Guard::check_mode(const ArchiveMember& member) const {
  if (readers_ == ArchiveReaders::hitfs_only || member.type == FileType::symlink) return Ok{};
  uint16_t needed = member.type == FileType::directory ? 0700 : 0400;
  if ((member.mode & needed) != needed) return refuse("its owner could not read or fill it", member);
  return Ok{};
}

// A target may climb only with leading ".."s, at most to the entry. A ".." after a name is refused even where it stays
// inside by its letters: that name may be a link, and then the letters lie. No member goes through a link, so with this
// rule following links can never leave the entry.
Status Guard::check_target(const ArchiveMember& member, const std::string& path) const {
  if (member.type != FileType::symlink) return Ok{};
  std::string_view target = member.target;
  if (target.empty() || target.size() > kMaxPath) return refuse("link target empty or longer than 4095 bytes", member);
  if (target.find('\0') != std::string_view::npos) return refuse("NUL byte in a link target", member);
  if (target.starts_with('/')) return refuse("link with an absolute target", member);
  if (readers_ == ArchiveReaders::other_programs && target.find('\\') != std::string_view::npos) {
    return refuse("link target with a backslash", member);
  }
  if (readers_ == ArchiveReaders::other_programs && leaves_on_windows(target)) {
    return refuse("link target with a drive letter", member);
  }
  auto room = std::count(path.begin(), path.end(), '/');
  bool named = false;
  std::string_view broken;
  for_each_name(target, [&](std::string_view name) {
    if (name.empty() || name == ".") return true;
    if (name != "..") {
      named = true;
      return true;
    }
    if (--room < 0) broken = "link that leaves the entry";
    if (named) broken = "link target with \"..\" after a name";
    return broken.empty();
  });
  if (!broken.empty()) return refuse(broken, member);
  return Ok{};
}

Status Guard::place(const ArchiveMember& member, const std::string& path) {
  uint32_t directory = 0;
  std::string_view rest = path;
  for (auto slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
    auto entered = enter(member, directory, rest.substr(0, slash));
    if (!entered) return std::move(entered).error();
    directory = *entered;
    rest.remove_prefix(slash + 1);
  }
  auto found = nodes_.find(Place{directory, std::string(rest)});
  if (found != nodes_.end()) {
    bool both_directories = found->second.type == FileType::directory && member.type == FileType::directory;
    if (!both_directories) return refuse("the same name twice", member);
    return Ok{};
  }
  name_bytes_ += member.target.size();
  auto added = add(member, directory, rest, member.type);
  if (!added) return std::move(added).error();
  return Ok{};
}

Result<uint32_t> Guard::enter(const ArchiveMember& member, uint32_t directory, std::string_view name) {
  auto found = nodes_.find(Place{directory, std::string(name)});
  if (found == nodes_.end()) return add(member, directory, name, FileType::directory);
  if (found->second.type == FileType::symlink) return refuse("path through a link", member);
  if (found->second.type == FileType::file) return refuse("path through a file", member);
  return found->second.number;
}

Result<uint32_t> Guard::add(const ArchiveMember& member, uint32_t directory, std::string_view name, FileType type) {
  auto number = static_cast<uint32_t>(nodes_.size() + 1);
  if (number > limits_.members) return refuse("more members than the limit", member);
  name_bytes_ += name.size();
  if (name_bytes_ > limits_.name_bytes) return refuse("more bytes of names than the limit", member);
  nodes_.emplace(Place{directory, std::string(name)}, Node{number, type});
  return number;
}

}  // namespace hitfs
