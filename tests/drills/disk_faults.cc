#include "tests/drills/disk_faults.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "store/base/unique_fd.h"

namespace hitfs::testing {

DiskFaults::DiskFaults(const std::filesystem::path& folder) : file_(folder / "disk-faults") {
  UniqueFd file(::open(file_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file || ::ftruncate(file.get(), sizeof(DiskFaultsPage)) < 0) {
    throw std::system_error(errno, std::generic_category(), file_.string());
  }
  void* shared = ::mmap(nullptr, sizeof(DiskFaultsPage), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (shared == MAP_FAILED) throw std::system_error(errno, std::generic_category(), file_.string());
  page_ = new (shared) DiskFaultsPage{};
}

DiskFaults::~DiskFaults() {
  end();
  ::munmap(page_, sizeof(DiskFaultsPage));
}

std::map<std::string, std::optional<std::string>> DiskFaults::environment() const {
  return {{"LD_PRELOAD", HITFS_DISK_FAULTS_LIBRARY}, {DiskFaultsPage::kVariable, file_.string()}};
}

void DiskFaults::begin(int error, const std::string& pattern, int64_t after) {
  if (pattern.size() > DiskFaultsPage::kLongestPattern) throw std::length_error(pattern);
  end();
  pattern.copy(page_->pattern, pattern.size());
  page_->pattern[pattern.size()] = '\0';
  page_->after = after;
  page_->injected = 0;
  page_->error = error;
}

}  // namespace hitfs::testing
