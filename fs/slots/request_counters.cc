#include "fs/slots/request_counters.h"

namespace hitfs::fs {

namespace {

// The numbers of the kernel's protocol (linux/fuse.h, enum fuse_opcode).
const std::map<uint32_t, std::string>& names() {
  static const std::map<uint32_t, std::string> all{
      {FUSE_LOOKUP, "LOOKUP"},
      {FUSE_FORGET, "FORGET"},
      {FUSE_GETATTR, "GETATTR"},
      {FUSE_SETATTR, "SETATTR"},
      {FUSE_READLINK, "READLINK"},
      {FUSE_SYMLINK, "SYMLINK"},
      {FUSE_MKNOD, "MKNOD"},
      {FUSE_MKDIR, "MKDIR"},
      {FUSE_UNLINK, "UNLINK"},
      {FUSE_RMDIR, "RMDIR"},
      {FUSE_RENAME, "RENAME"},
      {FUSE_LINK, "LINK"},
      {FUSE_OPEN, "OPEN"},
      {FUSE_READ, "READ"},
      {FUSE_WRITE, "WRITE"},
      {FUSE_STATFS, "STATFS"},
      {FUSE_RELEASE, "RELEASE"},
      {FUSE_FSYNC, "FSYNC"},
      {FUSE_SETXATTR, "SETXATTR"},
      {FUSE_GETXATTR, "GETXATTR"},
      {FUSE_LISTXATTR, "LISTXATTR"},
      {FUSE_REMOVEXATTR, "REMOVEXATTR"},
      {FUSE_FLUSH, "FLUSH"},
      {FUSE_INIT, "INIT"},
      {FUSE_OPENDIR, "OPENDIR"},
      {FUSE_READDIR, "READDIR"},
      {FUSE_RELEASEDIR, "RELEASEDIR"},
      {FUSE_FSYNCDIR, "FSYNCDIR"},
      {FUSE_GETLK, "GETLK"},
      {FUSE_SETLK, "SETLK"},
      {FUSE_SETLKW, "SETLKW"},
      {FUSE_ACCESS, "ACCESS"},
      {FUSE_CREATE, "CREATE"},
      {FUSE_INTERRUPT, "INTERRUPT"},
      {FUSE_BMAP, "BMAP"},
      {FUSE_DESTROY, "DESTROY"},
      {FUSE_IOCTL, "IOCTL"},
      {FUSE_POLL, "POLL"},
      {FUSE_BATCH_FORGET, "BATCH_FORGET"},
      {FUSE_FALLOCATE, "FALLOCATE"},
      {FUSE_READDIRPLUS, "READDIRPLUS"},
      {FUSE_RENAME2, "RENAME2"},
      {FUSE_LSEEK, "LSEEK"},
      {FUSE_COPY_FILE_RANGE, "COPY_FILE_RANGE"},
      {FUSE_SYNCFS, "SYNCFS"},
  };
  return all;
}

}  // namespace

std::string operation_name(uint32_t opcode) {
  auto known = names().find(opcode);
  return known == names().end() ? "OPCODE_" + std::to_string(opcode) : known->second;
}

uint64_t RequestCounts::of(const std::string& operation) const {
  auto found = by_operation.find(operation);
  return found == by_operation.end() ? 0 : found->second;
}

RequestCounts count_requests(const SlotMemory& memory) {
  const auto& counters = memory.counters();
  RequestCounts counts;
  for (uint32_t opcode = 0; opcode < format::kOpcodes; ++opcode) {
    uint64_t times = counters.requests[opcode];
    if (times > 0) counts.by_operation[operation_name(opcode)] = times;
    counts.total += times;
  }
  counts.failed = counters.failed;
  counts.workers = counters.workers;
  counts.settled = counters.settled;
  counts.resent = counters.resent;
  counts.poisoned = counters.poisoned;
  for (SlotIndex slot = format::kLargeSlots; slot < format::kSlots; ++slot)
    counts.parked += memory.in_use(slot) ? 1 : 0;
  return counts;
}

}  // namespace hitfs::fs
