#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace hitfs::testing {

enum class Links { keep, follow };

// What a folder holds, as text that compares: relative path -> type, permission bits, and the SHA-256 of a file or the
// target of a link. With Links::follow a link counts as what it points to.
std::map<std::string, std::string> describe_tree(const std::filesystem::path& root, Links links = Links::keep);

}  // namespace hitfs::testing
