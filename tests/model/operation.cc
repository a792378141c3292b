#include "tests/model/operation.h"

#include <cstring>

namespace hitfs::testing {

namespace {

const char* name_of(Act act) {
  switch (act) {
    case Act::create: return "create";
    case Act::make_directory: return "mkdir";
    case Act::make_symlink: return "symlink";
    case Act::write: return "write";
    case Act::append: return "append";
    case Act::truncate: return "truncate";
    case Act::set_mode: return "chmod";
    case Act::set_time: return "utimens";
    case Act::unlink: return "unlink";
    case Act::remove_directory: return "rmdir";
    case Act::rename: return "rename";
    case Act::list: return "list";
    case Act::look: return "look";
    case Act::sync_file: return "fsync";
    case Act::sync_root: return "fsync root";
    case Act::open: return "open";
    case Act::close: return "close";
    case Act::write_open: return "write open";
    case Act::truncate_open: return "truncate open";
    case Act::look_open: return "look open";
    case Act::restart: return "RESTART";
    case Act::remount: return "REMOUNT";
    case Act::daemon_away: return "DAEMON AWAY";
    case Act::daemon_back: return "DAEMON BACK";
    case Act::settle: return "SETTLE";
    case Act::evict: return "EVICT";
    case Act::arrive: return "ARRIVE";
    case Act::release: return "RELEASE";
    case Act::pass_time: return "TIME";
  }
  return "?";
}

std::string shown(const std::string& bytes) {
  constexpr size_t kMost = 60;
  std::string text;
  for (char byte : bytes.substr(0, kMost)) text += byte == '\0' ? '0' : byte;
  return "\"" + text + "\" (" + std::to_string(bytes.size()) + ")";
}

std::string shown(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += " " + name;
  return "{" + text + " }";
}

}  // namespace

std::string Operation::text() const {
  std::string text = name_of(act);
  if (!path.empty()) text += " " + path;
  if (!to.empty()) text += " -> " + to;
  if (how == RenameHow::no_replace) text += " NOREPLACE";
  if (how == RenameHow::exchange) text += " EXCHANGE";
  if (slot != 0) text += " slot " + std::to_string(slot);
  if (offset != 0) text += " at " + std::to_string(offset);
  if (size != 0) text += " size " + std::to_string(size) + " of " + byte;
  if (again) text += " (again after a restart)";
  return text;
}

std::string difference(const Seen& expected, const Seen& seen) {
  if (expected.error != seen.error) {
    return std::string("expected: ") + std::strerror(expected.error) + ", seen: " + std::strerror(seen.error);
  }
  if (expected.error != 0) return "";
  if (expected.type != seen.type) return "another type of file";
  if (expected.mode && seen.mode && *expected.mode != *seen.mode) {
    return "expected mode " + std::to_string(*expected.mode) + ", seen " + std::to_string(*seen.mode);
  }
  if (expected.mtime_ns && seen.mtime_ns && *expected.mtime_ns != *seen.mtime_ns) {
    return "expected mtime " + std::to_string(*expected.mtime_ns) + ", seen " + std::to_string(*seen.mtime_ns);
  }
  if (expected.bytes != seen.bytes) return "expected " + shown(expected.bytes) + ", seen " + shown(seen.bytes);
  if (expected.names != seen.names) return "expected " + shown(expected.names) + ", seen " + shown(seen.names);
  return "";
}

}  // namespace hitfs::testing
