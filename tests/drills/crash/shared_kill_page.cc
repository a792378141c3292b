#include "tests/drills/crash/shared_kill_page.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <stdexcept>

#include "store/base/unique_fd.h"

namespace hitfs::testing {

SharedKillPage::SharedKillPage(const std::filesystem::path& folder) : file_(folder / "kill-page") {
  UniqueFd fd(::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_EQ(::ftruncate(fd.get(), sizeof(KillPage)), 0);
  void* memory = ::mmap(nullptr, sizeof(KillPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no memory for the page");
  page_ = new (memory) KillPage;
}

SharedKillPage::~SharedKillPage() { ::munmap(page_, sizeof(KillPage)); }

std::vector<std::string> SharedKillPage::environment(const std::filesystem::path& folder) const {
  return {"LD_PRELOAD=" HITFS_CRASH_TAP, "HITFS_DRILL_PAGE=" + file_.string(), "HITFS_DRILL_FOLDER=" + folder.string()};
}

}  // namespace hitfs::testing
