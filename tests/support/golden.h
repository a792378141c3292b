#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "store/base/io.h"

namespace hitfs::testing {

inline std::string golden_path(const std::string& name) { return std::string(HITFS_GOLDEN_DIR) + "/" + name; }

// The bytes of a file in tests/golden.
inline std::string golden(const std::string& name) { return io::read_file(golden_path(name), 1 << 20).value(); }

// Bytes that other versions of hitfs have written and will read: a change here breaks the sharing of entries between
// versions. HITFS_WRITE_GOLDEN=1 writes them anew, on purpose.
inline void expect_golden(const std::string& bytes, const std::string& name) {
  if (std::getenv("HITFS_WRITE_GOLDEN")) {
    ASSERT_TRUE(io::replace_file(golden_path(name), io::as_bytes(bytes), "golden", 0644));
  }
  EXPECT_TRUE(bytes == golden(name)) << name << " has other bytes (" << bytes.size() << " now)";
}

}  // namespace hitfs::testing
