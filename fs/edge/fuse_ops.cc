#include "fs/edge/fuse_ops.h"

#include <linux/fs.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>

#include "fs/edge/current_request.h"
#include "fs/edge/errno_for.h"
#include "fs/slots/slot_format.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};

// What stdio and cp take as the size of one write: a file of 30 KB is then one WRITE, not eight.
constexpr blksize_t kPreferredIo = 128 << 10;

FuseContext& context(fuse_req_t req) { return *static_cast<FuseContext*>(fuse_req_userdata(req)); }
Filesystem& filesystem(fuse_req_t req) { return *context(req).filesystem; }

Caller caller(fuse_req_t req) {
  const auto* about = fuse_req_ctx(req);
  return {current_request.unique, about->uid, about->gid, about->pid};
}

// --- values into libfuse's structures ---

double seconds(Nanoseconds time) { return std::chrono::duration<double>(time).count(); }

timespec time_of(int64_t ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  int64_t rest = ns % kSecond;
  if (rest < 0) rest += kSecond;  // before 1970
  return {static_cast<time_t>((ns - rest) / kSecond), static_cast<long>(rest)};
}

mode_t type_bits(FileType type) {
  switch (type) {
    case FileType::directory: return S_IFDIR;
    case FileType::file: return S_IFREG;
    case FileType::symlink: return S_IFLNK;
  }
  return S_IFREG;
}

struct stat stat_of(const Attributes& attributes) {
  struct stat info {};
  info.st_ino = attributes.number;
  info.st_mode = type_bits(attributes.type) | (attributes.mode & 07777u);
  info.st_nlink = 1;
  info.st_uid = attributes.uid;
  info.st_gid = attributes.gid;
  info.st_size = static_cast<off_t>(attributes.size);
  info.st_blksize = kPreferredIo;
  info.st_blocks = static_cast<blkcnt_t>((attributes.size + 511) / 512);
  info.st_atim = time_of(attributes.atime_ns);
  info.st_mtim = time_of(attributes.mtime_ns);
  info.st_ctim = time_of(attributes.ctime_ns);
  return info;
}

fuse_entry_param entry_of(const NodeReply& node) {
  fuse_entry_param entry{};
  entry.ino = node.attributes.number;
  entry.attr = stat_of(node.attributes);
  entry.attr_timeout = seconds(node.attribute_timeout);
  entry.entry_timeout = seconds(node.entry_timeout);
  return entry;
}

// The mount is nosuid, and nobody clears these bits at a write: so no file ever has them.
uint16_t file_mode(mode_t mode) { return static_cast<uint16_t>(mode & 01777); }

// --- replies ---

void fail(fuse_req_t req, const char* operation, FsError error) {
  if (error == FsError::io) kLog.error("request_failed operation={} error=io", operation);
  kLog.debug("request operation={} errno={}", operation, errno_for(error));
  fuse_reply_err(req, errno_for(error));
}

template <typename T, typename Send>
Reply<T> reply(fuse_req_t req, const char* operation, Send send) {
  auto done = [operation, send](const T& value) {
    kLog.debug("request operation={} errno=0", operation);
    send(value);
  };
  return Reply<T>(std::move(done), [req, operation](FsError error) { fail(req, operation, error); });
}

Reply<Ok> empty_reply(fuse_req_t req, const char* operation) {
  return reply<Ok>(req, operation, [req](Ok) { fuse_reply_err(req, 0); });
}

// A name that did not reach the kernel (the request was interrupted for good, or a dead worker had answered it) is not
// held by it.
Reply<NodeReply> node_reply(fuse_req_t req, const char* operation) {
  return reply<NodeReply>(req, operation, [req](const NodeReply& node) {
    auto& owner = filesystem(req);
    auto entry = entry_of(node);
    if (fuse_reply_entry(req, &entry) != 0) owner.forget(node.attributes.number, 1);
  });
}

Reply<AttributesReply> attributes_reply(fuse_req_t req, const char* operation) {
  return reply<AttributesReply>(req, operation, [req](const AttributesReply& value) {
    auto info = stat_of(value.attributes);
    fuse_reply_attr(req, &info, seconds(value.timeout));
  });
}

// --- names and attributes ---

void on_init(void*, fuse_conn_info* connection) {
  // Everything else is off: ATOMIC_O_TRUNC would lose truncations without OPEN; splice would put requests into a pipe,
  // outside of their slots; nobody but the kernel changes bytes under a number, so AUTO_INVAL_DATA would only drop good
  // pages. PARALLEL_DIROPS and HANDLE_KILLPRIV_V2 are added to the reply in fuse_server, because libfuse 3.14 does not.
  constexpr unsigned kWanted =
      FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_READDIRPLUS | FUSE_CAP_CACHE_SYMLINKS;
  connection->want = connection->capable & kWanted;
  connection->max_write = format::kMaxWrite;
  connection->max_background = 64;
  connection->congestion_threshold = 48;
  connection->time_gran = 1;
}

void on_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  filesystem(req).lookup(caller(req), parent, name, node_reply(req, "LOOKUP"));
}

void on_forget(fuse_req_t req, fuse_ino_t number, uint64_t count) {
  filesystem(req).forget(number, count);
  fuse_reply_none(req);
}

void on_forget_multi(fuse_req_t req, size_t count, fuse_forget_data* forgets) {
  for (size_t i = 0; i < count; ++i) filesystem(req).forget(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(req);
}

void on_getattr(fuse_req_t req, fuse_ino_t number, fuse_file_info*) {
  filesystem(req).get_attributes(caller(req), number, attributes_reply(req, "GETATTR"));
}

// What lies before 1677 or after 2262 is the first or last moment of that range.
int64_t nanoseconds_of(const timespec& time) {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr int64_t kLast = INT64_MAX / kSecond - 1;
  if (time.tv_sec > kLast) return INT64_MAX;
  return std::max(int64_t{time.tv_sec}, -kLast) * kSecond + std::clamp<int64_t>(time.tv_nsec, 0, kSecond - 1);
}

AttributeChange change_of(const struct stat& info, int set) {
  AttributeChange change;
  int64_t now = system_clock().unix_ns();
  if ((set & FUSE_SET_ATTR_MODE) != 0) {
    change.mode = S_ISREG(info.st_mode) ? file_mode(info.st_mode) : static_cast<uint16_t>(info.st_mode & 07777);
  }
  if ((set & FUSE_SET_ATTR_UID) != 0) change.uid = info.st_uid;
  if ((set & FUSE_SET_ATTR_GID) != 0) change.gid = info.st_gid;
  if ((set & FUSE_SET_ATTR_SIZE) != 0) change.size = static_cast<uint64_t>(info.st_size);
  if ((set & FUSE_SET_ATTR_MTIME) != 0) change.mtime_ns = nanoseconds_of(info.st_mtim);
  if ((set & FUSE_SET_ATTR_ATIME) != 0) change.atime_ns = nanoseconds_of(info.st_atim);
  if ((set & FUSE_SET_ATTR_MTIME_NOW) != 0) change.mtime_ns = now;
  if ((set & FUSE_SET_ATTR_ATIME_NOW) != 0) change.atime_ns = now;
  return change;
}

void on_setattr(fuse_req_t req, fuse_ino_t number, struct stat* info, int set, fuse_file_info*) {
  filesystem(req).set_attributes(caller(req), number, change_of(*info, set), attributes_reply(req, "SETATTR"));
}

void on_readlink(fuse_req_t req, fuse_ino_t number) {
  auto send = [req](const std::string& target) { fuse_reply_readlink(req, target.c_str()); };
  filesystem(req).read_link(caller(req), number, reply<std::string>(req, "READLINK", send));
}

void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  filesystem(req).make_directory(caller(req), parent, name, static_cast<uint16_t>(mode & 07777),
                                 node_reply(req, "MKDIR"));
}

void on_symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  filesystem(req).make_symlink(caller(req), parent, name, target, node_reply(req, "SYMLINK"));
}

// How files are made where OPEN is not used; nothing but regular files is ever made here.
void on_mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t) {
  if (!S_ISREG(mode)) return fail(req, "MKNOD", FsError::not_permitted);
  filesystem(req).create(caller(req), parent, name, file_mode(mode), node_reply(req, "MKNOD"));
}

void on_link(fuse_req_t req, fuse_ino_t, fuse_ino_t, const char*) { fail(req, "LINK", FsError::not_permitted); }

void on_unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  filesystem(req).unlink(caller(req), parent, name, empty_reply(req, "UNLINK"));
}

void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  filesystem(req).remove_directory(caller(req), parent, name, empty_reply(req, "RMDIR"));
}

void on_rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent, const char* new_name,
               unsigned flags) {
  auto mode = Filesystem::RenameMode::replace;
  if (flags == RENAME_NOREPLACE) mode = Filesystem::RenameMode::no_replace;
  if (flags == RENAME_EXCHANGE) mode = Filesystem::RenameMode::exchange;
  if (flags != 0 && mode == Filesystem::RenameMode::replace) return fail(req, "RENAME", FsError::invalid);
  filesystem(req).rename(caller(req), parent, name, new_parent, new_name, mode, empty_reply(req, "RENAME"));
}

// --- files ---

// ENOSYS once: the kernel stops asking, sends no RELEASE either, and each read is served from the inode number. CREATE
// is an open as well and left out too: files are made by MKNOD, as many requests.
void on_open(fuse_req_t req, fuse_ino_t, fuse_file_info*) { fail(req, "OPEN", FsError::not_supported); }

void on_read(fuse_req_t req, fuse_ino_t number, size_t size, off_t offset, fuse_file_info*) {
  auto send = [req](std::span<const std::byte> bytes) {
    fuse_reply_buf(req, reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  filesystem(req).read(caller(req), number, size, static_cast<uint64_t>(offset),
                       reply<std::span<const std::byte>>(req, "READ", send));
}

void on_write(fuse_req_t req, fuse_ino_t number, const char* bytes, size_t size, off_t offset, fuse_file_info*) {
  auto send = [req](size_t written) { fuse_reply_write(req, written); };
  filesystem(req).write(caller(req), number, std::as_bytes(std::span(bytes, size)), static_cast<uint64_t>(offset),
                        reply<size_t>(req, "WRITE", send));
}

void on_fsync(fuse_req_t req, fuse_ino_t number, int, fuse_file_info*) {
  filesystem(req).sync_file(caller(req), number, empty_reply(req, "FSYNC"));
}

// --- directories ---

void on_opendir(fuse_req_t req, fuse_ino_t, fuse_file_info*) { fail(req, "OPENDIR", FsError::not_supported); }

void on_fsyncdir(fuse_req_t req, fuse_ino_t number, int, fuse_file_info*) {
  filesystem(req).sync_directory(caller(req), number, empty_reply(req, "FSYNCDIR"));
}

// One reply of READDIR or READDIRPLUS while it is filled.
class DirectoryPage final : public DirectoryFiller {
 public:
  DirectoryPage(fuse_req_t req, size_t size, bool plus)
      : req_(req), plus_(plus), bytes_(std::make_unique_for_overwrite<char[]>(size)), size_(size) {}

  bool add(std::string_view name, const NodeReply& node, uint64_t next_offset) override {
    bool handed_out = plus_ && node.handed_out && name != "." && name != "..";
    auto entry = entry_of(node);
    if (!handed_out) entry.ino = 0;  // READDIRPLUS: a name and a type, no node
    name_.assign(name);
    char* at = bytes_.get() + used_;
    size_t left = size_ - used_;
    auto next = static_cast<off_t>(next_offset);
    size_t need = plus_ ? fuse_add_direntry_plus(req_, at, left, name_.c_str(), &entry, next)
                        : fuse_add_direntry(req_, at, left, name_.c_str(), &entry.attr, next);
    if (need > left) return false;
    used_ += need;
    if (handed_out) numbers_.push_back(node.attributes.number);
    return true;
  }
  [[nodiscard]] bool counts_references() const override { return plus_; }

  void send() {
    auto& owner = filesystem(req_);
    if (fuse_reply_buf(req_, bytes_.get(), used_) == 0) return;
    for (auto number : numbers_) owner.forget(number, 1);
  }

 private:
  fuse_req_t req_;
  bool plus_;
  std::unique_ptr<char[]> bytes_;
  size_t size_;
  size_t used_ = 0;
  std::string name_;
  std::vector<Number> numbers_;  // handed out by this reply
};

void read_directory(fuse_req_t req, fuse_ino_t number, size_t size, off_t offset, bool plus) {
  const char* operation = plus ? "READDIRPLUS" : "READDIR";
  auto page = std::make_shared<DirectoryPage>(req, size, plus);
  auto send = [page](Ok) { page->send(); };
  filesystem(req).read_directory(caller(req), number, static_cast<uint64_t>(offset), *page,
                                 reply<Ok>(req, operation, send));
}

void on_readdir(fuse_req_t req, fuse_ino_t number, size_t size, off_t offset, fuse_file_info*) {
  read_directory(req, number, size, offset, false);
}

void on_readdirplus(fuse_req_t req, fuse_ino_t number, size_t size, off_t offset, fuse_file_info*) {
  read_directory(req, number, size, offset, true);
}

void on_statfs(fuse_req_t req, fuse_ino_t) {
  auto send = [req](const SpaceReply& space) {
    struct statvfs info {};
    info.f_bsize = space.block_size;
    info.f_frsize = space.block_size;
    info.f_blocks = space.blocks;
    info.f_bfree = space.free_blocks;
    info.f_bavail = space.free_blocks;
    info.f_files = space.files;
    info.f_ffree = space.free_files;
    info.f_favail = space.free_files;
    info.f_namemax = 255;
    fuse_reply_statfs(req, &info);
  };
  filesystem(req).space(caller(req), reply<SpaceReply>(req, "STATFS", send));
}

// An exception is a bug or no memory. It must not travel through libfuse; the server answers what is unanswered.
template <auto Operation>
struct Caught;
template <typename... Args, void (*Operation)(fuse_req_t, Args...)>
struct Caught<Operation> {
  static void run(fuse_req_t req, Args... args) {
    try {
      Operation(req, args...);
    } catch (const std::exception& failure) {
      kLog.error("exception what=\"{}\"", failure.what());
      current_request.threw = true;
    }
  }
};

fuse_lowlevel_ops make_operations() {
  fuse_lowlevel_ops ops{};
  ops.init = on_init;
  ops.lookup = Caught<on_lookup>::run;
  ops.forget = Caught<on_forget>::run;
  ops.forget_multi = Caught<on_forget_multi>::run;
  ops.getattr = Caught<on_getattr>::run;
  ops.setattr = Caught<on_setattr>::run;
  ops.readlink = Caught<on_readlink>::run;
  ops.mkdir = Caught<on_mkdir>::run;
  ops.symlink = Caught<on_symlink>::run;
  ops.mknod = Caught<on_mknod>::run;
  ops.link = Caught<on_link>::run;
  ops.unlink = Caught<on_unlink>::run;
  ops.rmdir = Caught<on_rmdir>::run;
  ops.rename = Caught<on_rename>::run;
  ops.open = Caught<on_open>::run;
  ops.read = Caught<on_read>::run;
  ops.write = Caught<on_write>::run;
  ops.fsync = Caught<on_fsync>::run;
  ops.opendir = Caught<on_opendir>::run;
  ops.fsyncdir = Caught<on_fsyncdir>::run;
  ops.readdir = Caught<on_readdir>::run;
  ops.readdirplus = Caught<on_readdirplus>::run;
  ops.statfs = Caught<on_statfs>::run;
  // Left out, which is ENOSYS once and then never asked again: FLUSH, GETXATTR, LISTXATTR (a question before every
  // write), ACCESS (default_permissions), and locks, which the kernel then keeps itself.
  return ops;
}

}  // namespace

const fuse_lowlevel_ops& fuse_operations() {
  static const fuse_lowlevel_ops ops = make_operations();
  return ops;
}

}  // namespace hitfs::fs
