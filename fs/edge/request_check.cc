#include "fs/edge/request_check.h"

#include <linux/fuse.h>

#include <cstring>
#include <string_view>

#include "fs/slots/slot_format.h"

namespace hitfs::fs {

namespace {

// What stands behind the header of a request, read from its front.
class Arguments {
 public:
  explicit Arguments(std::span<const std::byte> bytes)
      : rest_(reinterpret_cast<const char*>(bytes.data()), bytes.size()) {}

  template <typename T>
  [[nodiscard]] bool take(T& value) {
    if (rest_.size() < sizeof(T)) return false;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return true;
  }
  template <typename T>
  [[nodiscard]] bool skip() {
    T value;
    return take(value);
  }
  // A text of at least a byte, with its end.
  [[nodiscard]] bool take_text(std::string_view& text) {
    auto end = rest_.find('\0');
    if (end == 0 || end == std::string_view::npos) return false;
    text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return true;
  }
  [[nodiscard]] bool name() {
    std::string_view name;
    return take_text(name) && name != "." && name != ".." && name.find('/') == std::string_view::npos;
  }
  [[nodiscard]] size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
};

bool is_symlink(Arguments& arguments) {
  std::string_view target;
  return arguments.name() && arguments.take_text(target);
}

bool is_write(Arguments& arguments) {
  fuse_write_in in;
  return arguments.take(in) && in.size <= arguments.left();
}

// Of a file or a directory.
bool is_read(Arguments& arguments) {
  fuse_read_in in;
  return arguments.take(in) && in.size <= format::kLargeBytes;
}

bool is_batch_forget(Arguments& arguments) {
  fuse_batch_forget_in in;
  return arguments.take(in) && in.count <= arguments.left() / sizeof(fuse_forget_one);
}

bool has_arguments(uint32_t opcode, Arguments& arguments) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_UNLINK:
    case FUSE_RMDIR: return arguments.name();
    case FUSE_SYMLINK: return is_symlink(arguments);
    case FUSE_MKNOD: return arguments.skip<fuse_mknod_in>() && arguments.name();
    case FUSE_MKDIR: return arguments.skip<fuse_mkdir_in>() && arguments.name();
    case FUSE_CREATE: return arguments.skip<fuse_create_in>() && arguments.name();
    case FUSE_LINK: return arguments.skip<fuse_link_in>() && arguments.name();
    case FUSE_RENAME: return arguments.skip<fuse_rename_in>() && arguments.name() && arguments.name();
    case FUSE_RENAME2: return arguments.skip<fuse_rename2_in>() && arguments.name() && arguments.name();
    case FUSE_FORGET: return arguments.skip<fuse_forget_in>();
    case FUSE_BATCH_FORGET: return is_batch_forget(arguments);
    case FUSE_INTERRUPT: return arguments.skip<fuse_interrupt_in>();
    case FUSE_GETATTR: return arguments.skip<fuse_getattr_in>();
    case FUSE_SETATTR: return arguments.skip<fuse_setattr_in>();
    case FUSE_OPEN:
    case FUSE_OPENDIR: return arguments.skip<fuse_open_in>();
    case FUSE_RELEASE: return arguments.skip<fuse_release_in>();
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR: return arguments.skip<fuse_fsync_in>();
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS: return is_read(arguments);
    case FUSE_WRITE: return is_write(arguments);
    // Once more, and to libfuse the end of the mount; the third would get no answer.
    case FUSE_INIT:
    case FUSE_DESTROY:
    case FUSE_NOTIFY_REPLY: return false;
    default: return true;
  }
}

}  // namespace

bool is_well_formed(std::span<const std::byte> request) {
  fuse_in_header header;
  if (request.size() < sizeof(header)) return false;
  std::memcpy(&header, request.data(), sizeof(header));
  Arguments arguments(request.subspan(sizeof(header)));
  return header.len == request.size() && has_arguments(header.opcode, arguments);
}

}  // namespace hitfs::fs
