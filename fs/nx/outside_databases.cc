#include "fs/nx/outside_databases.h"

#include <sstream>

#include "fs/nx/private_files.h"
#include "store/base/io.h"
#include "store/key.h"

namespace hitfs::fs {

namespace {

constexpr size_t kLargestList = 1 << 20;

bool is_gone(const std::filesystem::path& folder) {
  std::error_code failure;
  return std::filesystem::symlink_status(folder, failure).type() == std::filesystem::file_type::not_found;
}

}  // namespace

Status OutsideDatabases::load() {
  auto text = io::read_file(list_, kLargestList);
  if (!text && text.error().code == Code::not_found) return Ok{};
  if (!text) return in_context("read " + list_.string(), std::move(text).error());
  std::istringstream lines(*text);
  auto folders = folders_.lock();
  for (std::string line; std::getline(lines, line);) {
    // A line that was not written by us is nobody's database.
    auto folder = percent_decode(line);
    if (folder && folder->starts_with('/')) folders->insert(*folder);
  }
  return Ok{};
}

Status OutsideDatabases::add(const std::filesystem::path& folder) {
  std::string text;
  {
    auto folders = folders_.lock();
    if (folders->contains(folder)) return Ok{};
    if (folders->size() >= kMost) std::erase_if(*folders, is_gone);
    if (folders->size() >= kMost) {
      return Error{Code::invalid_argument, "nx of more than " + std::to_string(kMost) +
                                               " workspaces used this mount without NX_WORKSPACE_DATA_DIRECTORY"};
    }
    folders->insert(folder);
    for (const auto& one : *folders) text += percent_encode(one.native()) + "\n";
  }
  return io::replace_file(list_, io::as_bytes(text), "list of nx databases");
}

std::vector<std::filesystem::path> OutsideDatabases::databases() const {
  std::vector<std::filesystem::path> all;
  auto folders = *folders_.lock();
  for (const auto& folder : folders) {
    for (auto& database : databases_in(folder)) all.push_back(std::move(database));
  }
  return all;
}

}  // namespace hitfs::fs
