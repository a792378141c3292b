#include "store/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>

namespace hitfs::log {

namespace {

constexpr std::array<const char*, 4> kFolderNames{"store", "fs", "sync", "cli"};

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
    case Level::off: return spdlog::level::off;
  }
  return spdlog::level::info;
}

struct Loggers {
  std::array<std::shared_ptr<spdlog::logger>, kFolderNames.size()> by_folder;

  Loggers() {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    // journald and systemd give every line a time of their own.
    bool under_journal = std::getenv("JOURNAL_STREAM") != nullptr;
    sink->set_pattern(under_journal ? "%l %n %v" : "%Y-%m-%dT%H:%M:%S.%e %P %l %n %v");
    for (size_t i = 0; i < kFolderNames.size(); ++i) {
      by_folder[i] = std::make_shared<spdlog::logger>(kFolderNames[i], sink);
      by_folder[i]->set_level(spdlog::level::trace);  // the level is decided in enabled()
      by_folder[i]->flush_on(spdlog::level::trace);
    }
  }
};

Loggers& loggers() {
  // Never destroyed: a thread that outlives main() (a hanging drive's) may still log.
  static Loggers& all = *new Loggers;
  return all;
}

std::atomic<Level> g_level{Level::info};

}  // namespace

void set_level(Level level) { g_level = level; }

std::optional<Level> parse_level(std::string_view text) {
  if (text == "debug") return Level::debug;
  if (text == "info") return Level::info;
  if (text == "warn") return Level::warn;
  if (text == "error") return Level::error;
  if (text == "off") return Level::off;
  return std::nullopt;
}

bool enabled(Level level) { return level >= g_level.load(std::memory_order_relaxed); }

void write(Folder folder, Level level, std::string_view line) {
  loggers().by_folder[static_cast<size_t>(folder)]->log(spdlog_level(level), line);
}

}  // namespace hitfs::log
