#include "tests/support/real_processes.h"

#include <unistd.h>

namespace hitfs::testing {

namespace {

std::string program() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "test_real_process").string();
}

}  // namespace

void DaemonProcess::start() {
  int ends[2];
  if (::pipe(ends) < 0) return;
  UniqueFd ours(ends[0]), theirs(ends[1]);
  process_.emplace([&] {
    ours.reset();
    auto name = program();
    auto fd = std::to_string(theirs.get());
    return ::execl(name.c_str(), name.c_str(), "daemon", fd.c_str(), store_.c_str(), nullptr);
  });
  theirs.reset();
  char byte = 0;
  ready_ = ::read(ours.get(), &byte, 1) == 1;
}

void DaemonProcess::end(int signal) {
  if (!process_) return;
  process_->signal(signal);
  process_->wait();
  process_.reset();
}

TestMount::WorkerCommand real_worker(const std::filesystem::path& store, uid_t owner, const std::string& complete) {
  return [=](const TestMount& mount, int fuse_fd, int slots_fd, int ready_fd) {
    return std::vector<std::string>{program(),
                                    "worker",
                                    std::to_string(fuse_fd),
                                    std::to_string(slots_fd),
                                    std::to_string(ready_fd),
                                    store.string(),
                                    std::to_string(owner),
                                    complete,
                                    mount.root().string()};
  };
}

}  // namespace hitfs::testing
