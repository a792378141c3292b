#pragma once

#include <filesystem>
#include <set>
#include <string>

// Databases as the versions of nx make them, by hand.
namespace hitfs::fs {

enum class NxShape {
  with_version,  // 20.8 to 22.6: names its exact version
  plain,         // 22.7 to 23.2
  with_mark,     // from 23.3: is_cache_entry
};
void make_nx_database(const std::filesystem::path& path, NxShape shape, const std::string& version = "22.6.5");
void add_nx_row(const std::filesystem::path& path, const std::string& hash, int code,
                const std::string& created_at = "2020-01-01 00:00:00");
void run_sql(const std::filesystem::path& path, const std::string& sql);
// "hash:code" of every row; one that nx has demoted is "hash:code:demoted".
std::set<std::string> nx_rows(const std::filesystem::path& path);

}  // namespace hitfs::fs
