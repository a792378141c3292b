#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

// Sees every system call with which this process changes files below one folder, whoever makes it: hitfs, SQLite, the
// standard library. disk_tap.cc defines open(), write(), rename() and their kin in front of those of the C library, so
// it needs no change in what is tested. It has every call that hitfs and SQLite import for changing names or contents,
// but writev(), which hitfs uses for /dev/fuse and sockets alone. Shared memory of SQLite (-shm) is left out: it is no
// part of a database.
namespace hitfs::testing {

struct DiskCall {
  enum class Kind {
    create,
    write,
    truncate,
    sync_file,
    sync_folder,
    sync_all,
    rename,
    link,
    unlink,
    make_folder,
    remove_folder
  };
  Kind kind;
  std::string path;      // what is changed; of rename and link where it comes from
  std::string target{};  // of rename and link
  int fd = -1;
  uint64_t inode = 0;  // of the file; for create known afterwards only
  mode_t mode = 0;     // of what is made
  uint64_t offset = 0;
  std::span<const std::byte> bytes{};
  uint64_t size = 0;  // of truncate
};

[[nodiscard]] const char* to_string(DiskCall::Kind kind);

class DiskObserver {
 public:
  virtual ~DiskObserver() = default;
  // Around each call, on its thread; what the observer itself does to files is not seen. before() may end the process.
  virtual void before(const DiskCall& call) = 0;
  virtual void after(const DiskCall& call, bool succeeded) = 0;
};

// From now on; nullptr ends it. `folder` is absolute and no symlink. Call it while no other thread changes files there.
void observe_disk(const std::string& folder, DiskObserver* observer);

}  // namespace hitfs::testing
