#pragma once

#include <fmt/core.h>

#include <optional>
#include <string_view>

// Log lines read `event key=value ...` and go to stderr; journald adds the time. One logger per folder.
// error: someone must act. warn: degraded but served. info: start, stop, mode change. debug: one per request.
// Safe from several threads. Secrets never get here: URLs are redacted first (redact_url in base/url.h).
namespace hitfs::log {

enum class Level { debug, info, warn, error, off };
enum class Folder { store, fs, sync, cli };

void set_level(Level level);
[[nodiscard]] std::optional<Level> parse_level(std::string_view text);
[[nodiscard]] bool enabled(Level level);
void write(Folder folder, Level level, std::string_view line);

// A logger of one folder: `constexpr log::Logger kLog{log::Folder::store};` then `kLog.warn("evict key={}", key)`.
class Logger {
 public:
  constexpr explicit Logger(Folder folder) : folder_(folder) {}

  template <typename... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) const {
    line(Level::debug, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    line(Level::info, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) const {
    line(Level::warn, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    line(Level::error, format, std::forward<Args>(args)...);
  }

 private:
  template <typename... Args>
  void line(Level level, fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(level)) write(folder_, level, fmt::format(format, std::forward<Args>(args)...));
  }

  Folder folder_;
};

}  // namespace hitfs::log
