// In the place of fuse_mounts.cc in a build without FUSE.
#include "cli/fuse_mounts.h"

namespace hitfs {

std::unique_ptr<MountDriver> make_fuse_mounts(const StorePaths&) { return nullptr; }

int run_fuse_worker(const Json&, int, int, int) { return 1; }

}  // namespace hitfs
