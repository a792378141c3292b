#include "store/base/disk_trouble.h"

#include <cerrno>
#include <map>
#include <string>
#include <utility>

#include "store/base/clock.h"
#include "store/base/guarded.h"
#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};
constexpr Milliseconds kPause{1000};
constexpr size_t kMostRemembered = 64;

using Said = std::map<std::pair<std::string, std::string>, MonotonicTime>;

bool was_just_said(std::string_view step, std::string_view why) {
  static Guarded<Said> all;
  const auto now = system_clock().now();
  auto said = all.lock();
  if (said->size() >= kMostRemembered) said->clear();
  auto [found, first] = said->try_emplace({std::string(step), std::string(why)}, now);
  if (!first && now - found->second < kPause) return true;
  found->second = now;
  return false;
}

}  // namespace

bool is_disk_trouble(int errno_value) {
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EIO:
    case EMFILE:
    case ENFILE:
    case ENOMEM: return true;
    default: return false;
  }
}

void warn_of_disk(std::string_view step, std::string_view why) {
  if (!was_just_said(step, why)) kLog.error("disk-trouble step=\"{}\" error=\"{}\"", step, why);
}

}  // namespace hitfs
