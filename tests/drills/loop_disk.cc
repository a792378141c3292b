#include "tests/drills/loop_disk.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/eventually.h"
#include "tests/support/process.h"

namespace hitfs::testing {

namespace {

constexpr Milliseconds kLimit{60'000};

Outcome tool(std::vector<std::string> words) { return run({std::move(words), {}, {}, true}, kLimit); }

}  // namespace

LoopDisk::LoopDisk(const std::filesystem::path& folder, std::filesystem::path place, size_t bytes)
    : image_(folder / "disk.img"), place_(std::move(place)) {
  std::filesystem::create_directories(place_);
  std::ofstream(image_).close();
  std::filesystem::resize_file(image_, bytes);
  // Without a journal: what the kernel has not written yet is lost with it, and the check has something to do.
  auto made = tool({"mkfs.ext4", "-q", "-F", "-O", "^has_journal", image_});
  if (made.code != 0) failure_ = "mkfs.ext4: " + made.output;
  if (!failure_ && !attach()) failure_ = "no loop device can be mounted here";
}

LoopDisk::~LoopDisk() { ::umount2(place_.c_str(), MNT_DETACH); }

bool LoopDisk::attach() {
  return tool({"mount", "-t", "ext4", "-o", "loop,errors=remount-ro", image_, place_}).code == 0;
}

bool LoopDisk::become_read_only() {
  struct stat info {};
  if (::stat(place_.c_str(), &info) < 0) return false;
  const auto device = std::to_string(major(info.st_dev)) + ":" + std::to_string(minor(info.st_dev));
  const auto name = std::filesystem::read_symlink("/sys/dev/block/" + device).filename();
  std::ofstream trigger("/sys/fs/ext4/" + name.string() + "/trigger_fs_error");
  trigger << 1 << std::flush;
  return trigger.good();
}

bool LoopDisk::repair() {
  if (!eventually([&] { return ::umount(place_.c_str()) == 0; }, kLimit)) return false;
  constexpr int kRepaired = 1;
  return tool({"e2fsck", "-f", "-y", image_}).code <= kRepaired && attach();
}

}  // namespace hitfs::testing
