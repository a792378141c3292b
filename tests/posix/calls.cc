#include "tests/posix/calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "tests/support/temp_dir.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

std::string ended(long result) { return result >= 0 ? "ok" : ::strerrorname_np(errno); }

std::string valued(long result) { return result >= 0 ? std::to_string(result) : ::strerrorname_np(errno); }

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
  return text;
}

int flags_of(const std::string& text) {
  static const std::map<std::string, int> kFlags = {
      {"r", O_RDONLY},          {"w", O_WRONLY},        {"rw", O_RDWR},       {"creat", O_CREAT},
      {"excl", O_EXCL},         {"trunc", O_TRUNC},     {"append", O_APPEND}, {"directory", O_DIRECTORY},
      {"nofollow", O_NOFOLLOW}, {"tmpfile", O_TMPFILE},
  };
  int flags = O_CLOEXEC;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) flags |= kFlags.at(word);
  return flags;
}

const char* type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return "directory";
    case S_IFREG: return "file";
    case S_IFLNK: return "symlink";
    default: return "special";
  }
}

// The sizes of directories, and how often one is linked, are every file system's own.
std::string text_of(const struct stat& info) {
  char mode[8];
  std::snprintf(mode, sizeof(mode), "%04o", info.st_mode & 07777);
  std::string text = std::string(type_of(info.st_mode)) + " " + (S_ISLNK(info.st_mode) ? "" : mode);
  if (S_ISDIR(info.st_mode)) return text;
  return text + " size " + std::to_string(info.st_size) + " nlink " + std::to_string(info.st_nlink);
}

// One process that makes calls: its open files by name.
class Caller {
 public:
  explicit Caller(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::string call(const std::string& line) {
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    words.resize(std::max<size_t>(words.size(), 5));
    for (auto group : {&Caller::of_names, &Caller::of_open_files, &Caller::of_attributes, &Caller::of_looks}) {
      auto result = (this->*group)(words);
      if (result) return *result;
    }
    return "no such call";
  }

 private:
  using Words = std::vector<std::string>;
  using Result = std::optional<std::string>;

  [[nodiscard]] std::string at(const std::string& path) const {
    auto name = replaced(path, "@255", std::string(255, 'n'));
    name = replaced(name, "@256", std::string(256, 'n'));
    if (name == "@deep") {
      name.clear();
      for (int i = 0; i < 2100; ++i) name += "./";
      name += "f";
    }
    return folder_.string() + "/" + name;
  }
  static mode_t mode(const std::string& text) { return static_cast<mode_t>(std::strtoul(text.c_str(), nullptr, 8)); }
  static off_t number(const std::string& text) { return std::atoll(text.c_str()); }

  Result of_names(const Words& w) {
    auto path = at(w[1]);
    auto other = at(w[2]);
    if (w[0] == "mkdir") return ended(::mkdir(path.c_str(), mode(w[2])));
    if (w[0] == "rmdir") return ended(::rmdir(path.c_str()));
    if (w[0] == "unlink") return ended(::unlink(path.c_str()));
    if (w[0] == "symlink") return ended(::symlink(w[1].c_str(), other.c_str()));
    if (w[0] == "symlink-long") return ended(::symlink(std::string(number(w[1]), 'l').c_str(), other.c_str()));
    if (w[0] == "link") return ended(::link(path.c_str(), other.c_str()));
    if (w[0] == "mkfifo") return ended(::mkfifo(path.c_str(), 0600));
    if (w[0] == "mksocket") return ended(::mknod(path.c_str(), S_IFSOCK | 0600, 0));
    if (w[0] == "mknod") return ended(::mknod(path.c_str(), S_IFREG | mode(w[2]), 0));
    if (w[0] == "umask") return static_cast<void>(::umask(mode(w[1]))), "ok";
    if (w[0] != "rename") return std::nullopt;
    unsigned flags = w[3] == "noreplace" ? RENAME_NOREPLACE : w[3] == "exchange" ? RENAME_EXCHANGE : 0;
    if (w[3] == "whiteout") flags = RENAME_WHITEOUT;
    return ended(::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, other.c_str(), flags));
  }

  Result of_open_files(const Words& w) {
    if (w[0] == "open") {
      int fd = ::open(at(w[2]).c_str(), flags_of(w[3]), mode(w[4]));
      if (fd >= 0) files_[w[1]] = fd;
      return ended(fd);
    }
    auto found = files_.find(w[1]);
    int fd = found == files_.end() ? -1 : found->second;
    if (w[0] == "pwrite") return valued(::pwrite(fd, w[3].data(), w[3].size(), number(w[2])));
    if (w[0] == "write") return valued(::write(fd, w[2].data(), w[2].size()));
    if (w[0] == "pread") return contents(fd, number(w[2]), static_cast<size_t>(number(w[3])));
    if (w[0] == "ftruncate") return ended(::ftruncate(fd, number(w[2])));
    if (w[0] == "fsync") return ended(::fsync(fd));
    if (w[0] == "fdatasync") return ended(::fdatasync(fd));
    if (w[0] == "fchmod") return ended(::fchmod(fd, mode(w[2])));
    if (w[0] == "fallocate") return ended(::fallocate(fd, 0, number(w[2]), number(w[3])));
    if (w[0] == "lseek") return valued(::lseek(fd, number(w[3]), w[2] == "data" ? SEEK_DATA : SEEK_HOLE));
    if (w[0] == "flock") return ended(::flock(fd, LOCK_EX | LOCK_NB));
    if (w[0] == "mmap") return mapped(fd, static_cast<size_t>(number(w[2])));
    if (w[0] == "fstat") {
      struct stat info {};
      return ::fstat(fd, &info) < 0 ? ended(-1) : text_of(info);
    }
    if (w[0] != "close") return std::nullopt;
    files_.erase(w[1]);
    return ended(::close(fd));
  }

  static std::string contents(int fd, off_t offset, size_t size) {
    std::string bytes(size, '\0');
    auto got = ::pread(fd, bytes.data(), size, offset);
    if (got < 0) return ended(-1);
    bytes.resize(static_cast<size_t>(got));
    std::replace(bytes.begin(), bytes.end(), '\0', '0');
    return "\"" + bytes + "\"";
  }
  // Writes through a shared mapping.
  static std::string mapped(int fd, size_t size) {
    void* map = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return ended(-1);
    std::memset(map, 'm', size);
    int synced = ::msync(map, size, MS_SYNC);
    ::munmap(map, size);
    return ended(synced);
  }

  Result of_attributes(const Words& w) {
    auto path = at(w[1]);
    if (w[0] == "chmod") return ended(::chmod(path.c_str(), mode(w[2])));
    if (w[0] == "chown") {
      return ended(::chown(path.c_str(), static_cast<uid_t>(number(w[2])), static_cast<gid_t>(number(w[3]))));
    }
    if (w[0] == "truncate") return ended(::truncate(path.c_str(), number(w[2])));
    if (w[0] == "access") {
      int wanted = (w[2].find('r') != std::string::npos ? R_OK : 0) | (w[2].find('w') != std::string::npos ? W_OK : 0) |
                   (w[2].find('x') != std::string::npos ? X_OK : 0);
      return ended(::access(path.c_str(), wanted));
    }
    if (w[0] == "utimens" || w[0] == "utimens-link") {
      timespec times[2] = {{number(w[2]), 123456789}, {number(w[2]), 123456789}};
      return ended(::utimensat(AT_FDCWD, path.c_str(), times, w[0] == "utimens" ? 0 : AT_SYMLINK_NOFOLLOW));
    }
    if (w[0] == "setxattr") return ended(::setxattr(path.c_str(), "user.hitfs", "1", 1, 0));
    if (w[0] == "getxattr") return ended(::getxattr(path.c_str(), "user.hitfs", nullptr, 0));
    return std::nullopt;
  }

  Result of_looks(const Words& w) {
    auto path = at(w[1]);
    struct stat info {};
    if (w[0] == "names") return names_in(path);
    if (w[0] == "bytes") {
      int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) return ended(-1);
      auto text = contents(fd, 0, 4096);
      ::close(fd);
      return text;
    }
    if (w[0] == "readlink") {
      std::string target(8192, '\0');
      auto got = ::readlink(path.c_str(), target.data(), target.size());
      return got < 0 ? ended(-1) : got > 64 ? std::to_string(got) : target.substr(0, static_cast<size_t>(got));
    }
    if (w[0] == "statfs") {
      struct statvfs space {};
      return ::statvfs(path.c_str(), &space) < 0 ? ended(-1) : "names of " + std::to_string(space.f_namemax);
    }
    bool link = w[0] == "lstat" || w[0] == "lmtime";
    int looked = link ? ::lstat(path.c_str(), &info) : ::stat(path.c_str(), &info);
    if (w[0] == "stat" || w[0] == "lstat") return looked < 0 ? ended(-1) : text_of(info);
    if (w[0] == "mtime" || w[0] == "lmtime") {
      return looked < 0 ? ended(-1) : std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
    }
    constexpr time_t kYear2020 = 1577836800;
    if (w[0] == "recent") return looked < 0 ? ended(-1) : info.st_mtim.tv_sec > kYear2020 ? "yes" : "no";
    if (w[0] == "ctime") return looked < 0 ? ended(-1) : info.st_ctim.tv_sec > kYear2020 ? "yes" : "no";
    if (w[0] == "owner") return looked < 0 ? ended(-1) : std::to_string(info.st_uid);
    if (w[0] == "links") return looked < 0 ? ended(-1) : std::to_string(info.st_nlink);
    return std::nullopt;
  }

  static std::string names_in(const std::string& path) {
    DIR* directory = ::opendir(path.c_str());
    if (directory == nullptr) return ended(-1);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(directory)) names.emplace_back(entry->d_name);
    ::closedir(directory);
    std::sort(names.begin(), names.end());
    std::string text = "{";
    for (const auto& name : names) text += " " + name;
    return text + " }";
  }

  std::filesystem::path folder_;
  std::map<std::string, int> files_;
};

}  // namespace

std::vector<Call> parse_calls(const std::string& text) {
  std::vector<Call> calls;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    auto begin = line.find_first_not_of(' ');
    if (begin == std::string::npos || line[begin] == '#') continue;
    auto arrow = line.find(" => ");
    Call call{line.substr(begin, arrow == std::string::npos ? arrow : arrow - begin)};
    if (arrow != std::string::npos) call.promised = line.substr(arrow + 4);
    calls.push_back(call);
  }
  return calls;
}

std::vector<std::string> make_calls(const std::filesystem::path& folder, const std::vector<Call>& calls, uid_t user) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return {};
  UniqueFd ours(ends[0]), theirs(ends[1]);
  TestProcess process([&] {
    ours.reset();
    if (user != 0 && (::setresgid(user, user, user) < 0 || ::setresuid(user, user, user) < 0)) return 1;
    ::umask(022);
    Caller caller(folder);
    for (const auto& call : calls) {
      auto line = caller.call(call.words) + "\n";
      if (::write(theirs.get(), line.data(), line.size()) < 0) return 1;
    }
    return 0;
  });
  theirs.reset();
  static_cast<void>(process.wait(std::chrono::seconds(120)));
  process.signal(SIGKILL);
  std::string said(1 << 16, '\0');
  auto got = ::read(ours.get(), said.data(), said.size());
  said.resize(got < 0 ? 0 : static_cast<size_t>(got));
  std::vector<std::string> results;
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);) results.push_back(line);
  return results;
}

}  // namespace hitfs::testing
