#include "fs/edge/errno_for.h"

#include <cerrno>

namespace hitfs::fs {

int errno_for(FsError error) {
  switch (error) {
    case FsError::not_found: return ENOENT;
    case FsError::exists: return EEXIST;
    case FsError::not_empty: return ENOTEMPTY;
    case FsError::not_directory: return ENOTDIR;
    case FsError::is_directory: return EISDIR;
    case FsError::cross_device: return EXDEV;
    case FsError::name_too_long: return ENAMETOOLONG;
    case FsError::no_space: return ENOSPC;
    case FsError::read_only: return EROFS;
    case FsError::denied: return EACCES;
    case FsError::invalid: return EINVAL;
    case FsError::io: return EIO;
    case FsError::not_supported: return ENOSYS;
    case FsError::not_permitted: return EPERM;
    case FsError::interrupted: return EINTR;
    case FsError::busy: return EBUSY;
    case FsError::too_large: return EFBIG;
  }
  return EIO;
}

}  // namespace hitfs::fs
