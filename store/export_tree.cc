#include "store/export_tree.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "store/base/io.h"
#include "store/codecs/tree_tar.h"

namespace hitfs {

namespace {

constexpr std::string_view kWhat = "export";
constexpr uint16_t kImpliedMode = 0755;

std::array<timespec, 2> times(int64_t mtime_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  int64_t seconds = mtime_ns / kSecond - (mtime_ns % kSecond < 0 ? 1 : 0);
  timespec mtime{seconds, mtime_ns - seconds * kSecond};
  return {timespec{0, UTIME_OMIT}, mtime};
}

Status set_time(const std::filesystem::path& path, int64_t mtime_ns) {
  if (::utimensat(AT_FDCWD, path.c_str(), times(mtime_ns).data(), AT_SYMLINK_NOFOLLOW) == 0) return Ok{};
  return system_error("set the time of " + path.string(), errno);
}

// Gives access to every directory below `path` again, so that a tree with closed ones can be removed by its owner.
void reopen_directories(const std::filesystem::path& path) {
  std::error_code failure;
  if (!std::filesystem::is_directory(std::filesystem::symlink_status(path, failure))) return;
  ::chmod(path.c_str(), 0700);
  for (const auto& entry : std::filesystem::directory_iterator(path, failure)) reopen_directories(entry.path());
}

Status remove_whatever(const std::filesystem::path& path) {
  if (io::remove_tree(path, kWhat)) return Ok{};
  reopen_directories(path);
  return io::remove_tree(path, kWhat);
}

}  // namespace

class TreeExporter::FileSink : public ByteSink {
 public:
  FileSink(UniqueFd fd, std::filesystem::path path, uint16_t mode, int64_t mtime_ns)
      : fd_(std::move(fd)), path_(std::move(path)), mode_(mode), mtime_ns_(mtime_ns) {}

  Status write(std::span<const std::byte> bytes) override { return io::write_all(fd_.get(), bytes, kWhat); }

  Status finish() {
    if (::fchmod(fd_.get(), mode_) < 0) return system_error("set the mode of " + path_.string(), errno);
    if (::futimens(fd_.get(), times(mtime_ns_).data()) < 0) {
      return system_error("set the time of " + path_.string(), errno);
    }
    return Ok{};
  }

 private:
  UniqueFd fd_;
  std::filesystem::path path_;
  uint16_t mode_;
  int64_t mtime_ns_;
};

Result<std::unique_ptr<TreeExporter>> TreeExporter::open(const std::filesystem::path& target, Existing existing) {
  auto wanted = target.has_filename() ? target : target.parent_path();
  if (!wanted.has_filename() || wanted.filename() == "." || wanted.filename() == "..") {
    return Error{Code::invalid_argument, "\"" + target.string() + "\" is no place for a file or directory"};
  }
  struct stat info {};
  if (existing == Existing::refuse && ::lstat(wanted.c_str(), &info) == 0) {
    return Error{Code::invalid_argument, wanted.string() + " exists; remove it or choose to replace it"};
  }
  auto folder = wanted.has_parent_path() ? wanted.parent_path() : std::filesystem::path(".");
  std::string aside = (folder / ".hitfs-XXXXXX").string();
  if (!::mkdtemp(aside.data())) return system_error("make a folder beside " + wanted.string(), errno);
  return std::unique_ptr<TreeExporter>(new TreeExporter(wanted, aside, existing));
}

TreeExporter::TreeExporter(std::filesystem::path target, std::filesystem::path aside, Existing existing)
    : target_(std::move(target)), aside_(std::move(aside)), existing_(existing) {
  directories_.push_back({"", kImpliedMode, 0});
}

TreeExporter::~TreeExporter() { (void)remove_whatever(aside_).has_value(); }

std::filesystem::path TreeExporter::place_of(std::string_view path) const {
  return path.empty() ? aside_ : aside_ / path;
}

Status TreeExporter::make_directory(std::string_view path) {
  if (path.empty() || made_.contains(std::string(path))) return Ok{};
  if (auto made = make_parent(path); !made) return made;
  made_.emplace(path);
  directories_.push_back({std::string(path), kImpliedMode, 0});
  return io::make_directories(place_of(path), 0700, kWhat);
}

Status TreeExporter::make_parent(std::string_view path) {
  auto slash = path.rfind('/');
  return make_directory(slash == std::string_view::npos ? "" : path.substr(0, slash));
}

Status TreeExporter::root(bool is_file, uint16_t mode, int64_t mtime_ns) {
  is_file_ = is_file;
  directories_.clear();
  if (!is_file) {
    directories_.push_back({"", mode, mtime_ns});
    return Ok{};
  }
  // The name was reserved by a directory.
  return remove_whatever(aside_);
}

Status TreeExporter::directory(std::string_view path, uint16_t mode, int64_t mtime_ns) {
  if (auto made = make_directory(path); !made) return made;
  directories_.push_back({std::string(path), mode, mtime_ns});
  return Ok{};
}

Status TreeExporter::symlink(std::string_view path, std::string_view target, int64_t mtime_ns) {
  if (auto made = make_parent(path); !made) return made;
  auto place = place_of(path);
  if (::symlink(std::string(target).c_str(), place.c_str()) < 0) return system_error("link " + place.string(), errno);
  return set_time(place, mtime_ns);
}

Result<ByteSink*> TreeExporter::begin_file(std::string_view path, uint16_t mode, int64_t mtime_ns,
                                           std::optional<uint64_t>) {
  if (auto made = make_parent(path); !made) return std::move(made).error();
  auto fd = io::create(place_of(path), kWhat);
  if (!fd) return std::move(fd).error();
  file_ = std::make_unique<FileSink>(*std::move(fd), place_of(path), mode, mtime_ns);
  return static_cast<ByteSink*>(file_.get());
}

Status TreeExporter::end_file() {
  auto finished = file_->finish();
  file_.reset();
  return finished;
}

// Deepest first: a closed directory keeps its parents' work out, and making things in one changes its time.
Status TreeExporter::settle_directories() {
  std::stable_sort(directories_.begin(), directories_.end(), [](const Attributes& a, const Attributes& b) {
    return std::count(a.path.begin(), a.path.end(), '/') + !a.path.empty() >
           std::count(b.path.begin(), b.path.end(), '/') + !b.path.empty();
  });
  for (const auto& [path, mode, mtime_ns] : directories_) {
    auto place = place_of(path);
    if (auto set = set_time(place, mtime_ns); !set) return set;
    if (::chmod(place.c_str(), mode) < 0) return system_error("set the mode of " + place.string(), errno);
  }
  return Ok{};
}

Status TreeExporter::move_into_place() {
  return io::step(io::Op::rename, kWhat, [&]() -> Status {
    if (::renameat2(AT_FDCWD, aside_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE) == 0) return Ok{};
    if (errno == EEXIST && existing_ == Existing::replace) {
      if (::renameat2(AT_FDCWD, aside_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) return Ok{};
    }
    if (errno == EEXIST) return Error{Code::invalid_argument, target_.string() + " exists meanwhile"};
    if (errno != EINVAL && errno != ENOSYS) return system_error("rename to " + target_.string(), errno);
    return move_in_two_steps();
  });
}

// For a file system without the flags of renameat2 (some network drives): with a moment without either.
Status TreeExporter::move_in_two_steps() {
  struct stat info {};
  auto old = aside_;
  old += ".old";
  bool there = ::lstat(target_.c_str(), &info) == 0;
  if (there && existing_ == Existing::refuse) {
    return Error{Code::invalid_argument, target_.string() + " exists meanwhile"};
  }
  if (there && ::rename(target_.c_str(), old.c_str()) < 0) return system_error("rename " + target_.string(), errno);
  if (::rename(aside_.c_str(), target_.c_str()) < 0) {
    int failure = errno;
    if (there) (void)::rename(old.c_str(), target_.c_str());
    return system_error("rename to " + target_.string(), failure);
  }
  return there ? remove_whatever(old) : Status(Ok{});
}

Status TreeExporter::commit() {
  struct stat info {};
  if (is_file_ && (::lstat(aside_.c_str(), &info) < 0 || !S_ISREG(info.st_mode))) {
    return Error{Code::internal, "export: a file entry without its file"};
  }
  if (auto settled = settle_directories(); !settled) return settled;
  if (auto moved = move_into_place(); !moved) return moved;
  // What was swapped out, if anything.
  return remove_whatever(aside_);
}

Status export_tree(const ManifestView& tree, ContentSource& contents, TreeSink& into) {
  if (tree.size() == 0) return Error{Code::invalid_argument, "an artifact has no tree"};
  auto entry = tree.at(0);
  auto done = into.root(entry.type == FileType::file, Guard::safe_mode(entry.mode), entry.mtime_ns);
  for (uint32_t position = entry.type == FileType::file ? 0 : 1; done && position < tree.size(); ++position) {
    auto record = tree.at(position);
    auto path = tree.path(position);
    uint16_t mode = Guard::safe_mode(record.mode);
    switch (record.type) {
      case FileType::directory: done = into.directory(path, mode, record.mtime_ns); break;
      case FileType::symlink: done = into.symlink(path, record.target, record.mtime_ns); break;
      case FileType::file: {
        auto file = into.begin_file(path, mode, record.mtime_ns, record.size);
        if (!file) return std::move(file).error();
        done = copy_content(contents, record.content, record.size, [&](auto bytes) { return (*file)->write(bytes); });
        if (done) done = into.end_file();
        break;
      }
    }
    if (!done) return in_context(printable_path(path), std::move(done).error());
  }
  return done;
}

}  // namespace hitfs
