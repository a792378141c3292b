#include "store/import_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "store/base/io.h"
#include "store/base/unique_fd.h"

namespace hitfs {

namespace {

constexpr int64_t kSecond = 1'000'000'000;

int64_t nanoseconds(const timespec& time) { return int64_t{time.tv_sec} * kSecond + time.tv_nsec; }

uint16_t mode_of(const struct stat& info) { return Guard::safe_mode(static_cast<uint16_t>(info.st_mode & 07777)); }

class FileSource : public ByteSource {
 public:
  FileSource(UniqueFd fd, std::string path, uint64_t size) : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  Result<size_t> read(std::span<std::byte> into) override {
    auto got = io::read_at(fd_.get(), into, offset_);
    if (!got) return in_context(path_, std::move(got).error());
    offset_ += *got;
    return got;
  }
  [[nodiscard]] std::optional<uint64_t> size() const override { return size_; }

 private:
  UniqueFd fd_;
  std::string path_;
  uint64_t size_;
  uint64_t offset_ = 0;
};

Error changed(const std::filesystem::path& path) {
  return {Code::unavailable, path.string() + " changed while it was read; try again when nothing writes to it"};
}

Result<UniqueFd> open_at(int directory, const char* name, int flags, const std::filesystem::path& path) {
  UniqueFd fd(::openat(directory, name, flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return system_error("open " + path.string(), errno);
  return fd;
}

Result<std::string> link_target(int directory, const char* name, const std::filesystem::path& path) {
  std::array<char, 4096> target{};
  ssize_t length = ::readlinkat(directory, name, target.data(), target.size());
  if (length < 0) return system_error("read link " + path.string(), errno);
  return std::string(target.data(), static_cast<size_t>(length));
}

// The names in a directory in byte order.
Result<std::vector<std::string>> names_in(int directory, const std::filesystem::path& path) {
  int copy = ::fcntl(directory, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return system_error("list " + path.string(), errno);
  DIR* stream = ::fdopendir(copy);
  if (!stream) {
    ::close(copy);
    return system_error("list " + path.string(), errno);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  int failure = errno;
  ::closedir(stream);
  if (failure != 0) return system_error("list " + path.string(), failure);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

// One walk. Open descriptors are those of the chain from the root, whose depth the guard bounds.
struct ImportedTree::Reader {
  Reader(ImportedTree& tree, const GuardLimits& limits)
      : out(tree), guard(limits, ArchiveReaders::hitfs_only), most_bytes(limits.unpacked_bytes) {}

  Status admit(FileType type, const std::string& member, const std::string& target, uint16_t mode) {
    auto admitted = guard.admit({type, member, target, mode});
    if (!admitted) return Error{Code::invalid_argument, "cannot travel: " + admitted.error().message};
    return Ok{};
  }

  Result<Content> add_file(const std::filesystem::path& path, const struct stat& info) {
    auto size = static_cast<uint64_t>(info.st_size);
    out.total_bytes_ += size;
    if (out.total_bytes_ > most_bytes) {
      return Error{Code::invalid_argument, path.string() + ": the tree is over the limit of " +
                                               std::to_string(most_bytes) +
                                               " bytes; raise it in the configuration if it is meant"};
    }
    out.files_.push_back({path, info.st_dev, info.st_ino, size, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)});
    return Content(StagedNumber{out.files_.size() - 1});
  }

  Status add_directory(int fd, const std::filesystem::path& path, const std::string& member,
                       ManifestBuilder::Node node) {
    auto names = names_in(fd, path);
    if (!names) return std::move(names).error();
    for (const auto& name : *names) {
      auto below = member.empty() ? name : member + "/" + name;
      if (auto added = add_member(fd, name, path / name, below, node); !added) return added;
    }
    return Ok{};
  }

  Status add_member(int directory, const std::string& name, const std::filesystem::path& path,
                    const std::string& member, ManifestBuilder::Node parent) {
    struct stat info {};
    if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0) {
      return errno == ENOENT ? Status(changed(path)) : system_error("stat " + path.string(), errno);
    }
    int64_t mtime_ns = nanoseconds(info.st_mtim);
    if (S_ISLNK(info.st_mode)) {
      auto target = link_target(directory, name.c_str(), path);
      if (!target) return std::move(target).error();
      if (auto admitted = admit(FileType::symlink, member, *target, 0777); !admitted) return admitted;
      return done(out.tree_.add_symlink(parent, name, *std::move(target), mtime_ns));
    }
    if (S_ISREG(info.st_mode)) {
      if (auto admitted = admit(FileType::file, member, "", mode_of(info)); !admitted) return admitted;
      auto content = add_file(path, info);
      if (!content) return std::move(content).error();
      auto size = static_cast<uint64_t>(info.st_size);
      return done(out.tree_.add_file(parent, name, mode_of(info), mtime_ns, size, *content));
    }
    if (!S_ISDIR(info.st_mode)) {
      return Error{Code::invalid_argument, path.string() + " is no file, directory or symbolic link"};
    }
    if (auto admitted = admit(FileType::directory, member, "", mode_of(info)); !admitted) return admitted;
    auto node = out.tree_.add_directory(parent, name, mode_of(info), mtime_ns);
    if (!node) return std::move(node).error();
    auto fd = open_at(directory, name.c_str(), O_DIRECTORY | O_NOFOLLOW, path);
    if (!fd) return fd.error().code == Code::not_found ? changed(path) : std::move(fd).error();
    return add_directory(fd->get(), path, member, *node);
  }

  static Status done(Result<ManifestBuilder::Node> added) {
    if (!added) return std::move(added).error();
    return Ok{};
  }

  ImportedTree& out;
  Guard guard;
  uint64_t most_bytes;
};

Result<std::unique_ptr<ImportedTree>> ImportedTree::read(const std::filesystem::path& path, const GuardLimits& limits) {
  std::unique_ptr<ImportedTree> tree(new ImportedTree);
  Reader reader(*tree, limits);
  auto fd = open_at(AT_FDCWD, path.c_str(), 0, path);
  if (!fd) return std::move(fd).error();
  struct stat info {};
  if (::fstat(fd->get(), &info) < 0) return system_error("stat " + path.string(), errno);
  int64_t mtime_ns = nanoseconds(info.st_mtim);
  if (S_ISREG(info.st_mode)) {
    tree->kind_ = EntryKind::file;
    auto content = reader.add_file(path, info);
    if (!content) return std::move(content).error();
    tree->tree_.root_file(mode_of(info), mtime_ns, static_cast<uint64_t>(info.st_size), *content);
    return tree;
  }
  if (!S_ISDIR(info.st_mode)) return Error{Code::invalid_argument, path.string() + " is no file and no directory"};
  auto root = tree->tree_.root_directory(mode_of(info), mtime_ns);
  if (auto added = reader.add_directory(fd->get(), path, "", root); !added) return std::move(added).error();
  return tree;
}

Result<std::unique_ptr<ByteSource>> ImportedTree::open(const Content& content) {
  const auto* staged = std::get_if<StagedNumber>(&content);
  if (!staged || staged->number >= files_.size()) return Error{Code::internal, "content is not of this tree"};
  const auto& seen = files_[staged->number];
  // The identity check below sees a link put into the way; following one for the root is allowed.
  auto fd = open_at(AT_FDCWD, seen.path.c_str(), 0, seen.path);
  if (!fd) return fd.error().code == Code::not_found ? changed(seen.path) : std::move(fd).error();
  struct stat now {};
  if (::fstat(fd->get(), &now) < 0) return system_error("stat " + seen.path.string(), errno);
  bool same = now.st_dev == seen.device && now.st_ino == seen.inode &&
              static_cast<uint64_t>(now.st_size) == seen.size && nanoseconds(now.st_mtim) == seen.mtime_ns &&
              nanoseconds(now.st_ctim) == seen.ctime_ns;
  if (!same) return changed(seen.path);
  return std::unique_ptr<ByteSource>(std::make_unique<FileSource>(*std::move(fd), seen.path.string(), seen.size));
}

}  // namespace hitfs
