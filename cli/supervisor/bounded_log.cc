#include "cli/supervisor/bounded_log.h"

#include <sys/stat.h>
#include <unistd.h>

#include "store/base/io.h"

namespace hitfs {

void BoundedLog::line(const std::string& text) {
  // A log that cannot be written is no reason to stop.
  [[maybe_unused]] auto written = io::write_all(STDERR_FILENO, io::as_bytes(text + "\n"), "log");
  look_at_size();
}

void BoundedLog::look_at_size() {
  struct stat info {};
  if (path_.empty() || ::fstat(STDERR_FILENO, &info) < 0 || static_cast<uint64_t>(info.st_size) < limit_) return;
  auto old = path_;
  old += ".1";
  [[maybe_unused]] auto kept = io::rename(path_, old, "log");
  auto fresh = io::create(path_, "log", {.mode = 0600, .exclusive = false});
  if (fresh) ::dup2(fresh->get(), STDERR_FILENO);
}

}  // namespace hitfs
