#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

// Tests that run once with each nx of scripts/test-tools.sh.
namespace hitfs::testing {

inline constexpr Milliseconds kNxLimit{60'000};

// Parameter: the version.
class NxVersionTest : public ::testing::TestWithParam<std::string> {
 protected:
  // Skips, with the reason, where this nx or node is missing. An override calls it and returns if IsSkipped().
  void SetUp() override;

  TempDir folder_;
  Enclosure enclosure_{folder_.path()};
  std::filesystem::path modules_;  // of this nx, for NxWorkspace
};

// The five of the README.
inline const std::vector<std::string> kNxVersions = {"20.8.2", "21.6.5", "22.6.5", "23.3.2", "24.0.6"};
[[nodiscard]] inline auto every_nx() { return ::testing::ValuesIn(kNxVersions); }
// "nx24x0x6"
[[nodiscard]] std::string nx_test_name(const ::testing::TestParamInfo<std::string>& version);

// How often `part` stands in what nx printed.
[[nodiscard]] size_t count(const std::string& text, const std::string& part);

}  // namespace hitfs::testing
