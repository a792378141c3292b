#pragma once

#include <filesystem>
#include <string>

namespace hitfs::testing {

// What a build does with a cache folder, over and over: writes an entry of a file and a link aside, removes the entry
// that is in its place, renames the new one there, and reads it back. Every failed call and every wrong byte counts.

// One round in the folder `root`; "" or what failed.
std::string build_round(const std::filesystem::path& root, int round);

// Runs rounds in a new folder `root` until `stop` exists; 0 when all went well, else the failure is told in `report`.
int build_until(const std::filesystem::path& root, const std::filesystem::path& stop,
                const std::filesystem::path& report);

}  // namespace hitfs::testing
