#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>

namespace hitfs::fs {

// Calls `came` on this thread each time that databases came into `folder`, until a stop is requested.
void watch_for_databases(const std::filesystem::path& folder, const std::stop_token& stop,
                         const std::function<void()>& came);

}  // namespace hitfs::fs
