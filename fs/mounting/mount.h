#pragma once

#include <filesystem>
#include <string>

#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs::fs {

struct MountOptions {
  std::filesystem::path mount_point;  // an existing directory
  bool allow_other = false;           // other users (root included) may see it
  bool force = false;                 // also over a directory that is not empty: what is in it is hidden meanwhile
  // What mount(8) and df(1) show as the device: the store's folder, by which `hitfs unmount DIR` finds its supervisor.
  std::string source = "hitfs";
};

// A mounted FUSE connection: the descriptor of /dev/fuse and the mount point. It lives in the supervisor, which never
// reads from the descriptor: a worker that inherits it serves (fs/worker.h), and may die and be replaced unseen. The
// mount stays for as long as any process has the descriptor open and nobody unmounted it.
//
// One owner, not thread-safe. mount() and unmount() may wait for a child of their own (fusermount3), at most a few
// seconds, and reap it; they need no worker. The destructor unmounts.
class Mount {
 public:
  // Mounts as root with mount(2), else through fusermount3. A dead mount left at the same place ("transport endpoint is
  // not connected") is taken away first. `invalid_argument` for a mount point that is missing, no directory, not empty
  // (without `force`), or below which hitfs is mounted already; `permission_denied` where allow_other is asked for and
  // /etc/fuse.conf forbids it; `unavailable` without /dev/fuse or fusermount3. Each message names the remedy.
  static Result<Mount> mount(const MountOptions& options);

  // Takes over the connection of a mount that another process made and that is still there; `not_found` when it is not.
  // Touches nothing in it.
  static Result<Mount> adopt(const std::filesystem::path& mount_point, UniqueFd device);

  Mount(Mount&& other) noexcept { swap(other); }
  Mount& operator=(Mount&& other) noexcept;
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;
  ~Mount();

  // The connection, O_CLOEXEC: clear the flag in the child that becomes the worker. It stays owned by the Mount.
  [[nodiscard]] int descriptor() const { return device_.get(); }
  [[nodiscard]] const std::filesystem::path& mount_point() const { return mount_point_; }  // canonical

  // Takes the mount away from the tree, lazily: programs that have files open there keep them until the last worker
  // ends. Then the descriptor is closed. A mount that is gone already is fine.
  Status unmount();

  // Closes the descriptor without unmounting: when no worker has it either, every call on the mount fails at once with
  // ENOTCONN or ECONNABORTED instead of hanging. For a mount whose workers keep dying; SlotMemory::fail_all() first.
  // unmount() still takes the dead mount away.
  void abort();

 private:
  Mount(std::filesystem::path mount_point, UniqueFd device, std::string device_number)
      : mount_point_(std::move(mount_point)),
        device_(std::move(device)),
        device_number_(std::move(device_number)),
        mounted_(true) {}
  void swap(Mount& other) noexcept;
  [[nodiscard]] bool lies_at_its_place() const;

  std::filesystem::path mount_point_;
  UniqueFd device_;
  std::string device_number_;  // of this very mount, in the mount table
  bool mounted_ = false;       // not yet unmounted by us
};

}  // namespace hitfs::fs
