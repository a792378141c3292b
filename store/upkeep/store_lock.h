#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/store_paths.h"

namespace hitfs {

// The f_type of the file system that holds `folder`, or its nearest parent that exists.
Result<uint64_t> filesystem_type_of(const std::filesystem::path& folder);

// Refuses (`invalid_argument`, with the remedy) file systems on which a store cannot be safe: locks and mapped files of
// SQLite need one kernel. `type_of` is filesystem_type_of but in tests.
Status refuse_network_filesystem(const std::filesystem::path& root,
                                 const std::function<Result<uint64_t>(const std::filesystem::path&)>& type_of);

// Makes this process the store's one daemon until the descriptor is closed. `unavailable` names the process that is it.
Result<UniqueFd> lock_store(const StorePaths& paths);

}  // namespace hitfs
