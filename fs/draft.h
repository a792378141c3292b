#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fs/numbers.h"
#include "store/base/result.h"
#include "store/key.h"
#include "store/manifest.h"

namespace hitfs::fs {

// One node of a frozen tree, in the order of positions.
struct DraftNode {
  Number number = 0;
  FileType type = FileType::file;
  uint32_t parent = 0;  // a position
  uint16_t mode = 0;
  int64_t mtime_ns = 0;
  uint64_t size = 0;  // of a file
  std::string name;
  std::string target;
};

// The draft manifest of a frozen tree. `internal` if the positions came out in another order than the nodes.
Result<std::string> make_draft(const Key& key, const std::vector<DraftNode>& nodes,
                               const std::optional<Digest>& terminal_output = std::nullopt);

// True when `entry` is the tree of `draft`: same names, types, modes, sizes and times.
[[nodiscard]] bool same_tree(const ManifestView& draft, const ManifestView& entry);

}  // namespace hitfs::fs
