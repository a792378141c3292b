#include "tests/support/tree.h"

#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <system_error>

#include "store/digest.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path) { throw std::system_error(errno, std::generic_category(), path.string()); }

std::string digest_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(path);
  Hasher hasher;
  std::string piece(1 << 20, '\0');
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0) {
    hasher.update(std::as_bytes(std::span(piece.data(), static_cast<size_t>(in.gcount()))));
  }
  return hasher.finish().text();
}

std::string describe(const fs::path& path, const struct stat& status) {
  char mode[8];
  std::snprintf(mode, sizeof(mode), "%04o", status.st_mode & 07777u);
  if (S_ISLNK(status.st_mode)) return "link to " + fs::read_symlink(path).string();
  if (S_ISDIR(status.st_mode)) return std::string("directory ") + mode;
  if (S_ISREG(status.st_mode)) return std::string("file ") + mode + " " + digest_of(path);
  return std::string("special ") + mode;
}

void add_below(const fs::path& folder, const fs::path& relative, Links links,
               std::map<std::string, std::string>& described) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path name = relative / entry.path().filename();
    struct stat status {};
    const int looked =
        links == Links::follow ? ::stat(entry.path().c_str(), &status) : ::lstat(entry.path().c_str(), &status);
    if (looked != 0) fail(entry.path());
    described[name.string()] = describe(entry.path(), status);
    if (S_ISDIR(status.st_mode)) add_below(entry.path(), name, links, described);
  }
}

}  // namespace

std::map<std::string, std::string> describe_tree(const fs::path& root, Links links) {
  std::map<std::string, std::string> described;
  add_below(root, {}, links, described);
  return described;
}

}  // namespace hitfs::testing
