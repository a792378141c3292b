#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/drills/crash/kill_page.h"

namespace hitfs::testing {

// The page, as a file in `folder` that programs find through their environment.
class SharedKillPage {
 public:
  explicit SharedKillPage(const std::filesystem::path& folder);
  ~SharedKillPage();
  SharedKillPage(const SharedKillPage&) = delete;
  SharedKillPage& operator=(const SharedKillPage&) = delete;

  [[nodiscard]] KillPage& operator*() { return *page_; }
  KillPage* operator->() { return page_; }
  // What a program needs to be watched in `folder`, as NAME=value.
  [[nodiscard]] std::vector<std::string> environment(const std::filesystem::path& folder) const;

 private:
  std::filesystem::path file_;
  KillPage* page_ = nullptr;
};

}  // namespace hitfs::testing
