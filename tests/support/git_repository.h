#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace hitfs::testing {

// A real git repository of the test, which reads no configuration of the machine.
class GitRepository {
 public:
  // `git init` in `folder`, which is made when it is missing.
  explicit GitRepository(std::filesystem::path folder);
  // A clone of `from`; `depth` 0 is all of it.
  GitRepository(std::filesystem::path folder, const GitRepository& from, int depth = 0);

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  void write(const std::string& name, const std::string& text) const;
  // Commits everything that is there, changed or not; gives the commit's full name.
  std::string commit(const std::string& message) const;
  // `git ARGUMENTS`; throws with its output when it fails.
  std::string git(std::vector<std::string> arguments) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace hitfs::testing
